CREATE TABLE bad.t (id int, tenant_id text, "Owner" uuid);
ALTER TABLE bad.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY "or ""none""" ON bad.t
    USING (tenant_id = (auth.jwt() ->> 'tenant') OR tenant_id IS NULL);
COMMENT ON POLICY "or ""none""" ON bad.t IS 'leak MEDIUM';
CREATE POLICY read ON bad.t FOR SELECT USING ("Owner" IS NULL OR "Owner" = auth.uid());
COMMENT ON POLICY read ON bad.t IS 'leak LOW: reading only';
CREATE POLICY filled_in ON bad.t FOR DELETE USING (coalesce("Owner", auth.uid()) = auth.uid());
COMMENT ON POLICY filled_in ON bad.t IS 'leak MEDIUM';

CREATE TABLE good.t (id int, tenant_id text NOT NULL, deleted_at timestamptz, user_id uuid);
ALTER TABLE good.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY not_null ON good.t USING (tenant_id = (auth.jwt() ->> 'tenant') OR tenant_id IS NULL);
CREATE POLICY other_column ON good.t USING (user_id = auth.uid() AND deleted_at IS NULL);
CREATE POLICY is_not_null ON good.t USING (user_id IS NOT NULL AND user_id = auth.uid());
