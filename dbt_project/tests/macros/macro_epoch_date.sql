-- A date that is one day after the beginning, and one before it.
select 'wrong day' as what
where
    {{ epoch_date("cast('1970-01-02' as date)") }} <> 1
    or {{ epoch_date("cast('1969-12-31' as date)") }} <> -1
