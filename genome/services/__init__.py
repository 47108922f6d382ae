"""What runs beside the library: Airflow's environment, the supervisor of services, their state and health."""
