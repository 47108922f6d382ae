{#- What is kept from one build to the next. A build either begins anew (every kept table is made whole), or it
    continues: it reads the batches that have landed since, adds what they say to the sums that are kept, makes the rows
    of whom they touch from those, and leaves all other rows as they are. genome/warehouse.py decides which (`GENOME_CONTINUES`). -#}

{#- Whether this build continues the one before. -#}
{% macro continues() %}
    {{- return(env_var('GENOME_CONTINUES', '0') == '1') -}}
{% endmacro %}

{#- What is said of this build (dbt/clock.json), as a literal: `as_of`, `since` (the cut-off of the build before) or
    `build_number`. A literal and no join, so that an engine skips what lies before it. -#}
{% macro build_said(what) %}
    {{- return(adapter.dispatch('build_said', 'customer_genome')(what)) -}}
{% endmacro %}

{% macro duckdb__build_said(what) %}
    {%- if not execute -%}{{ return('null') }}{%- endif -%}
    {%- set said = run_query('select cast(' ~ what ~ ' as varchar) from ' ~ build_clock()).columns[0].values()[0] -%}
    {{- return(said if what == 'build_number' else instant(said)) -}}
{% endmacro %}

{#- The condition that tells what has landed since the build before: empty where a build begins anew. -#}
{% macro landed_since() %}
    {{- return(adapter.dispatch('landed_since', 'customer_genome')()) -}}
{% endmacro %}

{% macro duckdb__landed_since() %}
    {%- if not continues() or not execute -%}{{ return('true') }}{%- endif -%}
    {%- set path = env_var('GENOME_HOME') ~ '/dbt/new_batches.json' -%}
    {%- set listed = "read_json('" ~ (path | replace("'", "''")) ~ "', columns = {batch_id: 'varchar'})" -%}
    {%- set names = run_query('select batch_id from ' ~ listed ~ ' order by batch_id').columns[0].values() -%}
    {%- if names | length == 0 -%}{{ return('false') }}{%- endif -%}
    {#- A short list is compared with what Parquet says of each row group, so that files of other batches are not read. -#}
    {%- if names | length > 200 -%}{{ return('_batch_id in (select batch_id from ' ~ listed ~ ')') }}{%- endif -%}
    {%- set quoted = [] -%}
    {%- for name in names -%}{%- do quoted.append("'" ~ (name | replace("'", "''")) ~ "'") -%}{%- endfor -%}
    {{- return('_batch_id in (' ~ quoted | join(', ') ~ ')') -}}
{% endmacro %}

{#- The interactions that this build is the first to use; all that are known, where a build begins anew. Two conditions in
    two branches: an engine skips by each what lies before, by their disjunction nothing. -#}
{% macro became_known() %}
    {%- if continues() -%}
    -- it has landed since the build before …
    select *
    from {{ ref('fct_interactions') }}
    where
        _build_number = {{ build_said('build_number') }}
        and available_at < {{ build_said('as_of') }}
    union all
    -- … or its time had not come then
    select *
    from {{ ref('fct_interactions') }}
    where
        available_at >= {{ build_said('since') }}
        and available_at < {{ build_said('as_of') }}
        and _build_number < {{ build_said('build_number') }}
    {%- else -%}
    select *
    from {{ ref('fct_interactions') }}
    where available_at < {{ build_said('as_of') }}
    {%- endif -%}
{% endmacro %}

{#- A kept table as the build before left it, for those that run before it is changed; none where there is none. -#}
{% macro before(name) %}
    {%- if not continues() or not execute -%}{{ return(none) }}{%- endif -%}
    {{- return(adapter.get_relation(this.database, this.schema, name)) -}}
{% endmacro %}

{#- Before rows of touched customers are appended anew, old ones go: `all rows`; `rows of the cut-off`, and rows of label
    times only of those whose past has changed (`is_whole`); `rows of the past`, only of those. -#}
{% macro forget_touched(what) %}
    {%- if not is_incremental() -%}{{ return('') }}{%- endif -%}
    {%- set touched = ref('int_customers_touched') | string -%}
    {%- if what == 'all rows' -%}
        {{- return(
            'delete from ' ~ this ~ ' where customer_number in (select customer_number from ' ~ touched ~ ')'
        ) -}}
    {%- elif what == 'rows of the past' -%}
        {{- return(
            'delete from ' ~ this ~ ' where customer_id in (select customer_id from ' ~ touched ~ ' where is_whole)'
        ) -}}
    {%- elif what == 'rows of the cut-off' -%}
        {{- return(
            'delete from ' ~ this ~ ' where customer_number in (select customer_number from ' ~ touched
            ~ ') and (is_cutoff or customer_number in (select customer_number from ' ~ touched ~ ' where is_whole))'
        ) -}}
    {%- endif -%}
    {{- exceptions.raise_compiler_error('forget_touched does not know ' ~ what) -}}
{% endmacro %}

{#- Before evidence is appended: what is taken back otherwise now goes. -#}
{% macro forget_evidence_gone() %}
    {%- if not is_incremental() -%}{{ return('') }}{%- endif -%}
    {{- return(
        'delete from ' ~ this ~ ' as kept where kept.takes_back_id is not null and exists (select 1 from '
        ~ ref('int_evidence_gone') ~ ' as gone where kept.interaction_id = gone.interaction_id'
        ~ ' and kept.takes_back_id = gone.takes_back_id)'
    ) -}}
{% endmacro %}

{#- A text's hash as a number, as the engine makes it fastest: for joins within one warehouse. Two texts may share
    one, so the texts are compared too. -#}
{% macro row_hash(text) %}
    {{- return(adapter.dispatch('row_hash', 'customer_genome')(text)) -}}
{% endmacro %}

{% macro duckdb__row_hash(text) %}
    {{- return('cast(hash(' ~ text ~ ') >> 1 as bigint)') -}}
{% endmacro %}

{% macro spark__row_hash(text) %}
    {{- return('xxhash64(' ~ text ~ ')') -}}
{% endmacro %}

{#- What is made of all customers at once may not fit into memory: it is made in buckets of customers, one statement
    each (`GENOME_BUCKETS`, from genome/warehouse.py). A dbt model says `in_bucket` where it first reads customers, which
    is true of the first bucket, and `other_buckets` as its post-hook. A bucket is a range of customer numbers, which are
    evenly spread hashes: where one table was made in buckets, an engine that reads a bucket of it skips the others. -#}
{% macro in_bucket(customer_number) %}
    {%- set buckets = env_var('GENOME_BUCKETS', '1') | int -%}
    {%- if buckets == 1 or continues() -%}{{ return('true') }}{%- endif -%}
    {{- return(customer_number ~ ' between ' ~ bucket_bounds(0, buckets)) -}}
{% endmacro %}

{#- The first and the last customer number of a bucket, as they stand in a statement. -#}
{% macro bucket_bounds(bucket, buckets) %}
    {%- set numbers = 2 ** 60 -%}
    {{- return(
        '/* bucket */ ' ~ (numbers * bucket // buckets) ~ ' and ' ~ (numbers * (bucket + 1) // buckets - 1)
    ) -}}
{% endmacro %}

{#- The statements that make all buckets but the first, from the dbt model's own text: its post-hook. -#}
{% macro other_buckets() %}
    {%- set buckets = env_var('GENOME_BUCKETS', '1') | int -%}
    {%- if buckets == 1 or continues() or not execute -%}{{ return('') }}{%- endif -%}
    {%- set inserts = [] -%}
    {%- for bucket in range(1, buckets) -%}
        {%- do inserts.append(
            'insert into ' ~ this ~ ' '
            ~ model['compiled_code'] | replace(bucket_bounds(0, buckets), bucket_bounds(bucket, buckets))
        ) -%}
    {%- endfor -%}
    {{- return(inserts | join(';\n')) -}}
{% endmacro %}

{#- dbt makes what is appended to a kept table first as a temporary table, and then copies it. Where rows are only
    appended, a view does, and they are written once. -#}
{% macro duckdb__create_table_as(
    temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none
) %}
    {%- if temporary and config.get('incremental_strategy') == 'append' -%}
        {{- return('create temporary view ' ~ relation.include(database=false, schema=false) ~ ' as ' ~ compiled_code) -}}
    {%- endif -%}
    {{- return(dbt.duckdb__create_table_as(
        temporary, relation, compiled_code, language, partitioned_by=partitioned_by, sorted_by=sorted_by
    )) -}}
{% endmacro %}
