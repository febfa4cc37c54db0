SELECT has_schema_privilege('cron', 'USAGE')
