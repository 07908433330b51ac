"""The model as an HTTP service with a web page. The only place that imports FastAPI, uvicorn and Prometheus.

A request goes `run` (sockets, slow clients) → `gate` (who, how much, how long) → `app` (routes) → `batcher`
(what waits is translated together) and back.
"""
