{#- Committed files of the lake, as a relation. Python (genome/warehouse.py) is the only reader of the manifest:
    it writes the list of files that this build may read, so that every dbt model sees the same batches. -#}

{% macro lake(dataset, channel=none) %}
    {%- set relation = source('lake', dataset) -%}
    {{- return(adapter.dispatch('lake', 'customer_genome')(dataset, channel)) -}}
{% endmacro %}

{% macro duckdb__lake(dataset, channel) %}
    {%- if not execute -%}{{ return('(select 1)') }}{%- endif -%}
    {%- set listing = env_var('GENOME_HOME') ~ '/dbt/lake_files.json' -%}
    {%- set query -%}
        select path
        from read_json('{{ listing | replace("'", "''") }}',
            columns = {dataset: 'varchar', channel: 'varchar', path: 'varchar'})
        where dataset = '{{ dataset }}' {%- if channel %} and channel = '{{ channel }}'{% endif %}
        order by path
    {%- endset -%}
    {%- set paths = run_query(query).columns[0].values() -%}
    {%- if paths | length == 0 -%}
        {{ return(empty_source('lake', dataset)) }}
    {%- endif -%}
    {%- set quoted = [] -%}
    {%- for path in paths -%}
        {%- do quoted.append("'" ~ (path | replace("'", "''")) ~ "'") -%}
    {%- endfor -%}
    {%- set read -%}
        select * from read_parquet([{{ quoted | join(', ') }}], hive_partitioning = false
            {%- if dataset != 'interactions' %}, union_by_name = true{% endif %})
    {%- endset -%}
    {#- A feed's contract grows: a column that no file has yet is null. -#}
    {%- if channel is none -%}
        {{- return('(' ~ read ~ ' union all by name select * from ' ~ empty_source('lake', dataset) ~ ')') -}}
    {%- endif -%}
    {{- return('(' ~ read ~ ')') -}}
{% endmacro %}

{#- A relation with the columns that a source declares and no row. -#}
{% macro empty_source(source_name, table_name) %}
    {%- set found = graph.sources.values()
        | selectattr('source_name', 'equalto', source_name)
        | selectattr('name', 'equalto', table_name) | first -%}
    {%- set columns = [] -%}
    {%- for column in found.columns.values() -%}
        {%- do columns.append('cast(null as ' ~ column.data_type ~ ') as ' ~ column.name) -%}
    {%- endfor -%}
    {{- return('(select ' ~ columns | join(', ') ~ ' where false)') -}}
{% endmacro %}

{#- The one row that says what time the build takes it to be (`as_of`), what time the build took before that it
    continues (`since`), and which build it is. -#}
{% macro build_clock() %}
    {{- return(adapter.dispatch('build_clock', 'customer_genome')()) -}}
{% endmacro %}

{% macro duckdb__build_clock() %}
    {%- set path = env_var('GENOME_HOME') ~ '/dbt/clock.json' -%}
    {{- return(
        "read_json('" ~ path | replace("'", "''") ~ "', columns = {as_of: 'timestamptz', since: 'timestamptz', build_number: 'integer'})"
    ) -}}
{% endmacro %}
