"""Scores to alerts: gate, decision, refiner, alert lifecycle, bus, store, evidence."""
