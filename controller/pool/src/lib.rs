//! A master process: HTTP, election and registry around the pure cores master and allocator.
