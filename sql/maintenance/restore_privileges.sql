-- Whether the caller may run programs of the server, its size in bytes, and the room of a test.
SELECT pg_has_role('pg_execute_server_program', 'USAGE'), pg_database_size(d.oid), d.oid::text
FROM pg_database AS d
WHERE d.datname = current_database()
