"""The HTTP service of statistics sections: metrics, dashboard, csv, json."""
