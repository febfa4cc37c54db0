CREATE TABLE bad.points (user_id uuid, at int) PARTITION BY RANGE (at);
ALTER TABLE bad.points ENABLE ROW LEVEL SECURITY;
CREATE TABLE bad.points_old PARTITION OF bad.points FOR VALUES FROM (0) TO (10);
GRANT SELECT ON bad.points, bad.points_old TO authenticated;
COMMENT ON TABLE bad.points_old IS 'leak CRITICAL';
-- Two levels down.
CREATE TABLE bad.points_new PARTITION OF bad.points FOR VALUES FROM (10) TO (20)
    PARTITION BY RANGE (at);
CREATE TABLE bad."Points ""15""" PARTITION OF bad.points_new FOR VALUES FROM (10) TO (15);
GRANT SELECT (at) ON bad."Points ""15""" TO anon;
COMMENT ON TABLE bad."Points ""15""" IS 'leak CRITICAL';
-- Inheritance without partitioning.
CREATE TABLE bad.animals (id int);
ALTER TABLE bad.animals ENABLE ROW LEVEL SECURITY;
CREATE TABLE bad.cats (lives int) INHERITS (bad.animals);
GRANT INSERT ON bad.cats TO PUBLIC;
COMMENT ON TABLE bad.cats IS 'leak CRITICAL';

-- Children with row-level security, children without privileges for client roles, and a child of
-- an open parent (see rls-off).
CREATE TABLE good.points (user_id uuid, at int) PARTITION BY RANGE (at);
ALTER TABLE good.points ENABLE ROW LEVEL SECURITY;
CREATE TABLE good.points_old PARTITION OF good.points FOR VALUES FROM (0) TO (10);
CREATE TABLE good.points_new PARTITION OF good.points FOR VALUES FROM (10) TO (20);
ALTER TABLE good.points_new ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON good.points, good.points_new TO authenticated;
CREATE TABLE private.points_future PARTITION OF good.points FOR VALUES FROM (20) TO (30);
GRANT SELECT ON private.points_future TO authenticated;
CREATE TABLE good.open (at int) PARTITION BY RANGE (at);
CREATE TABLE good.open_child PARTITION OF good.open FOR VALUES FROM (0) TO (10);
GRANT SELECT ON good.open, good.open_child TO authenticated;
