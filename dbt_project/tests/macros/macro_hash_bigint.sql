-- The first 15 hexadecimal digits of md5('department:GROCERY') are cdf267d1fcdb281.
select 'wrong hash' as what
where {{ hash_bigint("'department:GROCERY'") }} <> 927502367107953281
