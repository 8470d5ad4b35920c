"""The same parts offline: data sets, features, losses, metrics, fitting, evaluation, simulator."""
