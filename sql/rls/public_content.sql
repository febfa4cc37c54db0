-- $1 tables that every user reads through a policy without a condition. Those whose name says that
-- they hold content for everyone, and that have no column whose name says that it is private.
SELECT c.oid, m.word
FROM unnest($1) AS t (oid)
JOIN pg_class AS c ON c.oid = t.oid
CROSS JOIN LATERAL (
    SELECT substring(
        lower(c.relname),
        '(?:^|_)(post|article|blog|page|new|stor(?:y|ie)|comment|review|rating|like|reaction|'
        'product|item|catalog(?:ue)?|categor(?:y|ie)|tag|topic|genre|brand|collection|'
        'plan|price|pricing|tier|feature|faq|help|doc|lesson|course|quiz(?:ze)?|recipe|'
        'event|venue|station|place|cit(?:y|ie)|countr(?:y|ie)|region|state|currenc(?:y|ie)|'
        'language|locale|translation|timezone|unit|skill|badge|team|league|track|song|album|artist|'
        'movie|book|author|video|image|photo|banner|announcement|changelog|profile)s?$') AS word
) AS m
WHERE m.word IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND (
                replace(lower(a.attname), '-', '_') ~ (
                    '(^|_)(e?mail|phone|mobile|tel|address|street|zip|post(al)?_?code|birth\w*|dob'
                    '|age|gender|sex|ssn|passport|tax|iban|bic|bank|card|cvv|salary|income|balance'
                    '|stripe|customer|health|medical|ip|device|pass(word|wd|phrase|code)?|pwd|pin'
                    '|secret|token|otp|jwt|hash|salt|key|session|private|internal|admin|deleted'
                    '|draft|note|message)(s|_|$)')
                    AND a.attname !~ '_key$|^key$'
                    -- Resorts have a place for everyone, people do not.
                    OR m.word ~ 'profile|photo|image|video|post|stor'
                    AND a.attname ~* '(^|_)(lat(itude)?|l(on|ng)(gitude)?|location)(_|$)'
            )
    )
ORDER BY c.oid
