"""The rules of the plugin `rewrite`: what each field matches, how it changes a query, and what it does to the reply."""
