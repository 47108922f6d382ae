-- 2017-01-01 was a Sunday, the day after it a Monday.
select 'wrong weekday' as what
where
    {{ weekday("cast('2017-01-01' as date)") }} <> 7
    or {{ weekday("cast('2017-01-02' as date)") }} <> 1
