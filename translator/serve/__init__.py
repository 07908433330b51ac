"""An HTTP service with a web page. Only this package imports FastAPI, uvicorn and Prometheus.

A request passes through these modules in order: `server` and `connection` (sockets, slow clients),
`middleware` (access, limits, timeouts), `app` (routes) and `batcher` (batches of waiting texts).
"""
