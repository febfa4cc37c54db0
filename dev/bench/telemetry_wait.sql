-- Waits until the hour is over.
SELECT pg_sleep(greatest(0, extract(epoch FROM ending - clock_timestamp())))
FROM bench.hour \g /dev/null
