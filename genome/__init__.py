"""The customer genome: the library under the DAGs, the dbt project and the services. It imports no Airflow."""

__version__ = "0.1.0"
