-- The last hour of edge functions and Stripe events, with an incident. From 25 to 10 minutes ago,
-- payments were slow and failed. Since then they have partly recovered.

-- Severity of the incident for payments, 0 to 1, `ago` seconds before now. It builds up for two
-- minutes.
CREATE FUNCTION pg_temp.severity(ago double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN ago >= 1500 OR ago < 600 THEN 0 ELSE least(1, (1500 - ago) / 120) END
$$;

-- slows and still_slows: the factors by which the incident slows a function during and after it.
-- retries: additional calls of clients that try again.
CREATE TEMP TABLE edge_function ON COMMIT DROP AS
SELECT * FROM (VALUES
    (1, 'create-checkout', '/functions/v1/create-checkout/session', 760, 300, 380, 0.40, 7.5, 2.6,
        ARRAY[400, 401, 409], true),
    (2, 'geo-nearby', '/functions/v1/geo-nearby', 3100, 0, 70, 0.50, 1, 1, ARRAY[400, 401, 429],
        true),
    (3, 'match-candidates', '/functions/v1/match-candidates', 5400, 0, 190, 0.45, 1, 1,
        ARRAY[401, 401, 429], true),
    (4, 'notify', '/functions/v1/notify', 1550, 0, 55, 0.60, 1, 1, ARRAY[404, 410], false),
    (5, 'send-message', '/functions/v1/send-message', 4700, 0, 45, 0.45, 1, 1, ARRAY[401, 403, 429],
        true),
    (6, 'stripe-webhook', '/functions/v1/stripe-webhook', 1160, 300, 150, 0.50, 16, 5, ARRAY[400],
        false),
    (7, 'tracker-sync', '/functions/v1/tracker-sync', 2150, 0, 120, 0.50, 1, 1,
        ARRAY[401, 413, 422], true),
    (8, 'upload-photo', '/functions/v1/upload-photo', 580, 0, 700, 0.55, 1, 1, ARRAY[401, 413, 415],
        true)
) AS v (f, function_name, endpoint, calls, retries, median_ms, spread, slows, still_slows, refusals,
    has_user);

INSERT INTO public.edge_function_calls (function_name, endpoint, user_id, status_code,
    execution_time_ms, created_at)
SELECT
    function_name,
    endpoint,
    CASE WHEN has_user AND status_code <> 401 THEN person.id END,
    status_code,
    CASE
        WHEN status_code = 504 THEN 10000 + floor(40 * pg_temp.u('cut off', n))
        -- refused before the work begins
        WHEN status_code BETWEEN 400 AND 499 THEN 3 + 0.15 * latency_ms
        ELSE latency_ms
    END,
    now() - ago * interval '1 second'
FROM (
    SELECT *, CASE
        WHEN latency_ms >= 10000 THEN 504
        WHEN fate < fails
            THEN (ARRAY[500, 502, 503, 503])[1 + floor(4 * pg_temp.u('failure', n))::integer]
        WHEN fate > 0.985
            THEN refusals[1 + floor(cardinality(refusals) * pg_temp.u('refusal', n))::integer]
        ELSE 200
    END AS status_code
    FROM (
        SELECT *, pg_temp.u('fate', n) AS fate,
            CASE WHEN slows = 1 THEN 0.002 WHEN ago < 600 THEN 0.075
                ELSE 0.002 + 0.16 * severity END AS fails,
            median_ms * CASE WHEN ago < 600 THEN still_slows ELSE 1 + (slows - 1) * severity END
                * exp(pg_temp.z('latency', n) * (spread + CASE WHEN slows > 1 AND ago < 1500
                    THEN 0.25 ELSE 0 END)) AS latency_ms
        FROM (
            SELECT *, pg_temp.severity(ago) AS severity
            FROM (
                SELECT edge_function.*, f * 10000 + k AS n,
                    CASE WHEN k > calls THEN 600 + 900 * pg_temp.u('retries', f * 10000 + k)
                        ELSE 3600 * pg_temp.u('calls', f * 10000 + k) END AS ago
                FROM edge_function, generate_series(1, calls + retries) AS k
            ) AS timed
            OFFSET 0
        ) AS weighed
        OFFSET 0
    ) AS measured
    OFFSET 0
) AS answered
-- Users who joined in the last hours are left out, so no call precedes the sign-up of its user.
LEFT JOIN person ON i = pg_temp.draw_user('caller', n) AND joins < 0.98
ORDER BY ago DESC, n;

CREATE TEMP TABLE customer ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY stripe_subscription_id COLLATE "C") - 1 AS c,
    count(*) OVER () AS customers,
    stripe_customer_id, stripe_subscription_id, plan
FROM public.subscriptions;

-- status is that of the processing, not of the payment: a handled invoice.payment_failed is
-- processed.
INSERT INTO public.stripe_events (event_id, event_type, received_at, processed_at, status,
    error_message, attempts, payload)
SELECT
    event_id,
    event_type,
    received_at,
    CASE status WHEN 'processed' THEN
        received_at + least(0.9 * ago, 0.25 * (1 + 15 * severity) *
            exp(0.8 * pg_temp.z('processes', n))) * interval '1 second'
    END,
    status,
    CASE status WHEN 'failed' THEN pg_temp.pick(ARRAY[
        'could not connect to database: remaining connection slots are reserved',
            'canceling statement due to statement timeout',
        'upstream request timeout after 10000 ms', 'upstream request timeout after 10000 ms',
            'Stripe API: 503 Service Unavailable'
    ], pg_temp.u('because', n)) END,
    CASE status
        WHEN 'received' THEN 0
        WHEN 'failed' THEN 1 + floor(4 * pg_temp.u('attempts', n) * least(1, ago / 600))
        ELSE 1 + floor((1 + severity) * power(pg_temp.u('attempts', n), 2) * CASE WHEN ago < 1500
            THEN 1.5 ELSE 1 END)
    END,
    jsonb_build_object('id', event_id, 'object', 'event', 'type', event_type, 'livemode', false,
        'data', jsonb_build_object('object',
        jsonb_build_object('customer', stripe_customer_id, 'subscription', stripe_subscription_id,
            'plan', plan)))
FROM (
    SELECT *, 'evt_' || substr(md5('event' || n), 1, 24) AS event_id,
        now() - ago * interval '1 second' AS received_at,
        (ARRAY['invoice.payment_succeeded', 'customer.subscription.updated',
            'checkout.session.completed', 'invoice.payment_failed',
            'customer.subscription.deleted', 'charge.refunded'])
            [width_bucket(pg_temp.u('type', n), ARRAY[0, 0.38, 0.65, 0.80, 0.92, 0.97])]
                AS event_type,
        CASE
            WHEN fate < CASE WHEN ago < 600 THEN 0.11 ELSE 0.004 + 0.22 * severity END THEN 'failed'
            WHEN fate > CASE WHEN ago < 90 THEN 0.55 WHEN ago < 600 THEN 0.95
                ELSE 1 - 0.07 * severity END THEN 'received'
            ELSE 'processed'
        END AS status
    FROM (
        SELECT n, ago, pg_temp.severity(ago) AS severity, pg_temp.u('event fate', n) AS fate
        FROM generate_series(1, 1200) AS n, LATERAL (SELECT 3600 * pg_temp.u('events', n) AS ago)
            AS drawn
    ) AS weighed
) AS event
JOIN customer ON c = floor(customers * pg_temp.u('customer', n))
ORDER BY ago DESC, n;
