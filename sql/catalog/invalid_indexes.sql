SELECT indexrelid FROM pg_catalog.pg_index WHERE NOT indisvalid
