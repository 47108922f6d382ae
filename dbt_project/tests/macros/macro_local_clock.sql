-- A day's midnight lies on that day, at hour 0, in whatever zone the retailer has.
select 'local midnight and local date disagree' as what
where
    {{ local_date(local_midnight("cast('2017-07-04' as date)")) }} <> cast('2017-07-04' as date)
    or {{ local_hour(local_midnight("cast('2017-07-04' as date)")) }} <> 0
    or {{ local_date(instant('2017-07-04 12:00:00+00')) }} <> cast('2017-07-04' as date)
