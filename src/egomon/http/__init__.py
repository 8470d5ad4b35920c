"""HTTP as the live page and the pages for machines share it: access, application, server."""
