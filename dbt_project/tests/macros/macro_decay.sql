-- Two half-lives leave a quarter.
select 'wrong decay' as what
where {{ decay(instant('2017-01-01 00:00:00+00'), instant('2017-02-26 00:00:00+00'), 28) }} <> 0.25
