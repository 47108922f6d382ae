"""HOW features are served: Feast views made from dbt contracts, the offline join, the online load.

dbt manifest ─► contract ─► views, services ─► registry ─► training (offline, point in time)
                                                  └──────► load ─► Valkey ─► genome/features/online.py
"""
