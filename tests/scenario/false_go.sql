-- A healthy application: each decision about it is GO, until a scenario plants a fault.
INSERT INTO auth.users (id, email)
SELECT md5(n::text)::uuid, 'user' || n || '@example.org' FROM generate_series(1, 12) AS n;
CREATE TABLE parcels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    label text NOT NULL
);
CREATE INDEX ON parcels (sender);
INSERT INTO parcels (sender, label)
SELECT u.id, 'parcel ' || n FROM auth.users AS u CROSS JOIN generate_series(1, 5) AS n;
ALTER TABLE parcels ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON parcels FROM PUBLIC, anon, authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON parcels TO authenticated;
CREATE POLICY senders ON parcels TO authenticated
    USING (sender = (SELECT auth.uid())) WITH CHECK (sender = (SELECT auth.uid()));
CREATE FUNCTION parcels_arrive() RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION invoices_arrive() RETURNS boolean LANGUAGE sql AS 'SELECT true';
SELECT crewsnow_ops.register_e2e_test('parcels', 'parcels_arrive()');
SELECT crewsnow_ops.register_e2e_test('invoices', 'invoices_arrive()', p_criterion => 'payments');
SELECT crewsnow_ops.record_evidence('monitoring', true);
SELECT count(crewsnow_ops.record_stripe_webhook('evt_' || n, 'invoice.paid', true))
FROM generate_series(1, 40) AS n;
SELECT count(crewsnow_ops.record_edge_call('send-parcel', 40, 200))
FROM generate_series(1, 40) AS n;
