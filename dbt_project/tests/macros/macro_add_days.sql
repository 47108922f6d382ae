-- Over the end of a month and of a leap day.
select 'wrong date' as what
where {{ add_days("cast('2020-02-28' as date)", 2) }} <> cast('2020-03-01' as date)
