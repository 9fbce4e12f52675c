"""Campaigns, queues, streams and replicas at one moment: what `top`, the dashboard and the demo show."""
