CREATE TABLE bad.orders (id int PRIMARY KEY, user_id uuid);
ALTER TABLE bad.orders ENABLE ROW LEVEL SECURITY;
GRANT DELETE ON bad.orders TO authenticated;
CREATE POLICY own ON bad.orders FOR DELETE TO authenticated USING (user_id = auth.uid());
CREATE TABLE bad.ledger (id int,
    order_id int CONSTRAINT "Cascades, ""really""" REFERENCES bad.orders ON DELETE CASCADE);
ALTER TABLE bad.ledger ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON bad.ledger TO authenticated;
COMMENT ON CONSTRAINT "Cascades, ""really""" ON bad.ledger IS 'leak MEDIUM';
CREATE TABLE bad.invoices (id int,
    order_id int CONSTRAINT cut_loose REFERENCES bad.orders ON DELETE SET NULL (order_id));
ALTER TABLE bad.invoices ENABLE ROW LEVEL SECURITY;
COMMENT ON CONSTRAINT cut_loose ON bad.invoices IS 'leak MEDIUM';
CREATE TABLE bad.items (id int,
    order_id int CONSTRAINT items REFERENCES bad.orders ON DELETE CASCADE);
ALTER TABLE bad.items ENABLE ROW LEVEL SECURITY;
GRANT DELETE ON bad.items TO authenticated;
CREATE POLICY own ON bad.items FOR DELETE TO authenticated USING (true);
COMMENT ON CONSTRAINT items ON bad.items IS 'leak INFO: clients may delete some anyway';

-- No policy for DELETE on the parent. A foreign key without an action. A child without row-level
-- security.
CREATE TABLE good.orders (id int PRIMARY KEY, user_id uuid);
ALTER TABLE good.orders ENABLE ROW LEVEL SECURITY;
GRANT DELETE ON good.orders TO authenticated;
CREATE POLICY own ON good.orders FOR SELECT TO authenticated USING (user_id = auth.uid());
CREATE TABLE good.ledger (id int, order_id int REFERENCES good.orders ON DELETE CASCADE,
    of int REFERENCES bad.orders);
ALTER TABLE good.ledger ENABLE ROW LEVEL SECURITY;
CREATE TABLE good.open (id int, order_id int REFERENCES bad.orders ON DELETE CASCADE);
