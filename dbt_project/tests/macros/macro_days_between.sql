-- Half a day over the night in which the clocks of New York go forward: an hour of the day is missing, none of time.
select 'wrong days' as what
where {{ days_between(instant('2017-03-12 00:00:00+00'), instant('2017-03-12 12:00:00+00')) }} <> 0.5
