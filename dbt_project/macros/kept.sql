{#- What is kept from one build to the next. A build either begins anew (every kept table is made whole), or it
    continues: it reads the batches that have landed since, recomputes whoever they touch from their whole history,
    and leaves all other rows as they are. genome/warehouse.py decides which (`GENOME_CONTINUES`). -#}

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

{#- The condition that tells which of all interactions this build is the first to use: they have landed since the one
    before, or their time had not come. All of them, where a build begins anew. -#}
{% macro became_known(interactions) %}
    {%- if not continues() -%}{{ return('true') }}{%- endif -%}
    {{- return(
        '(' ~ interactions ~ '._build_number = ' ~ build_said('build_number') ~ ' or ' ~ interactions
        ~ '.available_at >= ' ~ build_said('since') ~ ')'
    ) -}}
{% endmacro %}

{#- A kept table as the build before left it, for those that run before it is changed; none where there is none. -#}
{% macro before(name) %}
    {%- if not continues() or not execute -%}{{ return(none) }}{%- endif -%}
    {{- return(adapter.get_relation(this.database, this.schema, name)) -}}
{% endmacro %}

{#- Before rows of touched customers are appended anew: their old ones go. `key` is the table's column, `of` the one of
    int_customers_touched or dim_customers that it holds. -#}
{% macro forget_touched(key='customer_id') %}
    {%- if not is_incremental() -%}{{ return('') }}{%- endif -%}
    {%- if key == 'source_key' -%}
        {{- return(
            'delete from ' ~ this ~ ' where source_key in (select customers.source_key from '
            ~ ref('dim_customers') ~ ' as customers inner join ' ~ ref('int_customers_touched')
            ~ ' as touched on customers.customer_id = touched.customer_id)'
        ) -}}
    {%- endif -%}
    {{- return(
        'delete from ' ~ this ~ ' where ' ~ key ~ ' in (select ' ~ key ~ ' from ' ~ ref('int_customers_touched') ~ ')'
    ) -}}
{% endmacro %}

{#- What a refund can no longer meet leaves the lines that are kept. -#}
{% macro forget_old_lines() %}
    {%- if not is_incremental() -%}{{ return('') }}{%- endif -%}
    {{- return(
        'delete from ' ~ this ~ ' where ' ~ days_between('evidence_at', build_said('as_of')) ~ ' >= '
        ~ var('purchase_days')
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

{#- A list of values, each as it is after some days: element i fades by `half_lives[loci[i]]`. -#}
{% macro faded(values, loci, half_lives, days) %}
    {{- return(adapter.dispatch('faded', 'customer_genome')(values, loci, half_lives, days)) -}}
{% endmacro %}

{% macro duckdb__faded(values, loci, half_lives, days) %}
    {{- return(
        'list_transform(' ~ values ~ ', lambda v, i : cast(v * pow(2.0, -' ~ days ~ ' / ' ~ half_lives ~ '[' ~ loci
        ~ '[i]]) as float))'
    ) -}}
{% endmacro %}

{% macro spark__faded(values, loci, half_lives, days) %}
    {{- return(
        'transform(' ~ values ~ ', (v, i) -> cast(v * pow(2.0D, -' ~ days ~ ' / element_at(' ~ half_lives
        ~ ', element_at(' ~ loci ~ ', i + 1))) as float))'
    ) -}}
{% endmacro %}

{#- The items of a list whose day, in a list aligned with it, is not before `since`. -#}
{% macro items_since(values, days, since) %}
    {{- return(adapter.dispatch('items_since', 'customer_genome')(values, days, since)) -}}
{% endmacro %}

{% macro duckdb__items_since(values, days, since) %}
    {{- return(
        'case when list_min(' ~ days ~ ') < ' ~ since ~ ' then list_filter(' ~ values ~ ', lambda v, i : ' ~ days
        ~ '[i] >= ' ~ since ~ ') else ' ~ values ~ ' end'
    ) -}}
{% endmacro %}

{% macro spark__items_since(values, days, since) %}
    {{- return(
        'filter(' ~ values ~ ', (v, i) -> element_at(' ~ days ~ ', i + 1) >= ' ~ since ~ ')'
    ) -}}
{% endmacro %}

{#- Lists of all customers at once may not fit into memory: they are made in buckets of customers, one statement each
    (`GENOME_BUCKETS`, from genome/warehouse.py). A dbt model says `in_bucket` where it first reads customers, which is
    true of the first bucket, and `other_buckets` as its post-hook. -#}
{% macro in_bucket(customer_number) %}
    {%- set buckets = env_var('GENOME_BUCKETS', '1') | int -%}
    {%- if buckets == 1 or continues() -%}{{ return('true') }}{%- endif -%}
    {{- return(customer_number ~ ' % ' ~ buckets ~ ' = /* bucket */ 0') -}}
{% endmacro %}

{#- The statements that make all buckets but the first, from the dbt model's own text: its post-hook. -#}
{% macro other_buckets() %}
    {%- set buckets = env_var('GENOME_BUCKETS', '1') | int -%}
    {%- if buckets == 1 or continues() or not execute -%}{{ return('') }}{%- endif -%}
    {%- set inserts = [] -%}
    {%- for bucket in range(1, buckets) -%}
        {%- do inserts.append(
            'insert into ' ~ this ~ ' ' ~ model['compiled_code'] | replace('/* bucket */ 0', bucket | string)
        ) -%}
    {%- endfor -%}
    {{- return(inserts | join(';\n')) -}}
{% endmacro %}
