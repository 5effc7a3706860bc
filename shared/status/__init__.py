"""The status page: collect, assess, render; its buttons test a connection and redrive."""
