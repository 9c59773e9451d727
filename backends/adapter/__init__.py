"""The one adapter over ``BackendV2``, and the threads that provider calls run in."""
