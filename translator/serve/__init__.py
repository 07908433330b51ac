"""An HTTP service with a web page. Only this package imports FastAPI, uvicorn and the Prometheus client.

A request passes through these modules in order. `server` and `connection` accept connections and close slow
ones, `middleware` enforces access rules, limits and timeouts, `app` answers the request, and `batcher` groups
the texts of several requests into batches for the model.
"""
