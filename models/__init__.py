"""WHICH offer: training sets, learners, evaluation, promotion, scoring; all tracked in MLflow.

    published features ─► data (Feast, point in time) ─► features (pairs) ─► learn ─► ranker ─► MLflow
                                                                              │
    baselines ─► metrics ─► evaluate ◄────────────────────────────────────────┘
                               └─► promote (@champion) ─► score ─► the dbt source offer_scores

Names: a *rectangle* is every customer of a campaign × every offer of it at one instant; a *group* is one
customer's row of it, the candidates that compete with each other; a *pair* is one cell.
"""
