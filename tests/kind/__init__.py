"""The scenarios in kind, with the image and the chart that users get; `make kind-test`."""
