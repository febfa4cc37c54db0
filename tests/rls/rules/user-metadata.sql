CREATE TABLE bad.calls (id int, user_id uuid);
ALTER TABLE bad.calls ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Admins see ""all""" ON bad.calls FOR SELECT TO authenticated
    USING (((SELECT auth.jwt()) -> 'user_metadata' ->> 'role') = 'admin');
COMMENT ON POLICY "Admins see ""all""" ON bad.calls IS 'leak CRITICAL';
CREATE POLICY by_setting ON bad.calls FOR ALL USING (user_id = auth.uid())
    WITH CHECK ((current_setting('request.jwt.claims', true)::jsonb
        -> 'user_metadata' ->> 'plan') = 'pro');
COMMENT ON POLICY by_setting ON bad.calls IS 'leak CRITICAL: in WITH CHECK, from the setting';
CREATE POLICY by_table ON bad.calls FOR DELETE TO authenticated
    USING (EXISTS (SELECT FROM auth.users AS u WHERE u.id = auth.uid()
        AND u.raw_user_meta_data ->> 'role' = 'admin'));
COMMENT ON POLICY by_table ON bad.calls IS 'leak CRITICAL: from the users table';
CREATE FUNCTION private.is_admin() RETURNS bool LANGUAGE plpgsql STABLE AS $$
    BEGIN RETURN auth.jwt() -> 'user_metadata' ->> 'role' = 'admin'; END $$;
CREATE POLICY by_function ON bad.calls FOR UPDATE TO authenticated USING (private.is_admin());
COMMENT ON POLICY by_function ON bad.calls IS 'leak HIGH: in a function that is not inlined';

CREATE TABLE good.calls (id int, user_metadata text);
ALTER TABLE good.calls ENABLE ROW LEVEL SECURITY;
CREATE POLICY app ON good.calls FOR SELECT
    USING ((auth.jwt() -> 'app_metadata' ->> 'role') = 'admin');
CREATE POLICY version ON good.calls FOR SELECT
    USING ((auth.jwt() -> 'app_metadata' ->> 'user_metadata_version') = '2');
CREATE POLICY own_column ON good.calls FOR SELECT USING (user_metadata = 'x');
CREATE POLICY from_users ON good.calls FOR DELETE
    USING (EXISTS (SELECT FROM auth.users AS u WHERE u.raw_app_meta_data ->> 'role' = 'admin'));
CREATE POLICY not_for_clients ON good.calls FOR SELECT TO service_role
    USING ((auth.jwt() -> 'user_metadata' ->> 'role') = 'admin');
