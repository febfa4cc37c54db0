-- Waits until the hour of the events ends.
SELECT pg_sleep(greatest(0, extract(epoch FROM ending - clock_timestamp()))) FROM bench.hour \g /dev/null
