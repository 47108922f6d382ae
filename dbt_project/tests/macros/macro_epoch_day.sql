-- Days since 1970 count down before it: the last second of 1969 is day -1.
select 'wrong day' as what
where
    {{ epoch_day(instant('1970-01-02 23:59:59+00')) }} <> 1
    or {{ epoch_day(instant('1969-12-31 23:59:59+00')) }} <> -1
