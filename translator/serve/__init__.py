"""An HTTP service with a web page. No other package imports FastAPI, uvicorn or the Prometheus client.

A request passes through these modules in order: `server` and `connection` (sockets, slow clients),
`middleware` (access, limits, timeouts), `app` (routes) and `batcher` (grouping of texts into batches).
"""
