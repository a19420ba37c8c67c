"""What an operator may ask and tell a running proxy, over HTTP, on an endpoint of its own.

What a process tells about itself (``facts``) is for every process; what listens, for the one that has the endpoint.
"""
