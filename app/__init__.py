"""Everything that runs as the service: search (a library), jobs, store, api, pages, client, command line."""
