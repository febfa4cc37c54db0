CREATE SCHEMA storage;
GRANT USAGE ON SCHEMA storage TO anon, authenticated;
CREATE TABLE storage.objects (id uuid, bucket_id text, name text, owner uuid);
ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
GRANT ALL ON storage.objects TO anon, authenticated;
CREATE FUNCTION storage.foldername(name text) RETURNS text[] LANGUAGE sql IMMUTABLE
    AS $$ SELECT string_to_array(name, '/') $$;
CREATE FUNCTION private.is_admin() RETURNS bool LANGUAGE sql STABLE AS 'SELECT false';
CREATE POLICY "all ""files""" ON storage.objects FOR SELECT USING (true);
COMMENT ON POLICY "all ""files""" ON storage.objects IS 'leak HIGH';
CREATE POLICY signed_in ON storage.objects FOR INSERT TO authenticated
    WITH CHECK (auth.role() = 'authenticated');
COMMENT ON POLICY signed_in ON storage.objects IS 'leak HIGH: every bucket';
CREATE POLICY listing ON storage.objects FOR SELECT USING (bucket_id = 'avatars');
COMMENT ON POLICY listing ON storage.objects IS 'leak MEDIUM';
CREATE POLICY overwriting ON storage.objects FOR UPDATE
    USING (bucket_id = 'avatars' AND auth.role() = 'authenticated');
COMMENT ON POLICY overwriting ON storage.objects IS 'leak HIGH';

CREATE POLICY own_folder ON storage.objects FOR ALL TO authenticated
    USING (bucket_id = 'avatars' AND (storage.foldername(name))[1] = auth.uid()::text);
CREATE POLICY own ON storage.objects FOR DELETE TO authenticated USING (owner = auth.uid());
CREATE POLICY admins ON storage.objects FOR ALL TO authenticated USING (private.is_admin());
CREATE POLICY by_claim ON storage.objects FOR ALL TO authenticated
    USING ((auth.jwt() -> 'app_metadata' ->> 'role') = 'admin');
CREATE POLICY service ON storage.objects FOR ALL USING (auth.role() = 'service_role');
CREATE POLICY service_too ON storage.objects FOR ALL TO service_role USING (true);
CREATE TABLE good.objects (bucket_id text);
ALTER TABLE good.objects ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON good.objects USING (true);
