-- :tables tables of eight rows with four policies each, of four kinds, granted to both roles.
-- One table of :rows rows with a policy that isolates its users.
CREATE TABLE public.teams (id integer PRIMARY KEY);
INSERT INTO public.teams SELECT generate_series(1, 4);
CREATE FUNCTION public.my_teams() RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT m.team FROM public.members AS m WHERE m.user_id = auth.uid()
$$;
SELECT format($$
    CREATE TABLE public.n_%1$s (
        id integer PRIMARY KEY, user_id uuid NOT NULL REFERENCES auth.users,
        team integer NOT NULL REFERENCES public.teams, note text
    );
    INSERT INTO public.n_%1$s SELECT n, u.id, 1 + n %% 4, 'note'
    FROM generate_series(1, 4) AS n, auth.users AS u WHERE n %% 2 = (ascii(u.email) %% 2);
    CREATE INDEX ON public.n_%1$s (user_id);
    ALTER TABLE public.n_%1$s ENABLE ROW LEVEL SECURITY;
    GRANT ALL ON public.n_%1$s TO anon, authenticated;
    CREATE POLICY s ON public.n_%1$s FOR SELECT TO authenticated USING (%2$s);
    CREATE POLICY i ON public.n_%1$s FOR INSERT TO authenticated WITH CHECK (%2$s);
    CREATE POLICY u ON public.n_%1$s FOR UPDATE TO authenticated USING (%2$s) WITH CHECK (%2$s);
    CREATE POLICY d ON public.n_%1$s FOR DELETE TO authenticated USING (%2$s)
$$, n, (ARRAY[
    'user_id = (SELECT auth.uid())',
    'user_id = auth.uid() AND auth.role() = ''authenticated''',
    'user_id = (SELECT auth.uid()) OR team IN (SELECT public.my_teams())',
    'EXISTS (SELECT FROM public.members AS m WHERE m.team = n_' || n
        || '.team AND m.user_id = (SELECT auth.uid()))'
])[1 + n % 4])
FROM generate_series(1, :tables) AS n
\gexec
CREATE TABLE public.large (
    id integer PRIMARY KEY, user_id uuid NOT NULL REFERENCES auth.users, note text
);
INSERT INTO public.large
SELECT n, (ARRAY(SELECT u.id FROM auth.users AS u ORDER BY u.id))[1 + n % 2], 'note'
FROM generate_series(1, :rows) AS n;
ALTER TABLE public.large ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.large TO authenticated;
CREATE POLICY s ON public.large FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
VACUUM ANALYZE;
