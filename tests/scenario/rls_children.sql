-- Rows whose owner is that of the order or shop they reference. Accounts 1 to 4 have orders.
CREATE TABLE public.orders (id text PRIMARY KEY, buyer uuid NOT NULL REFERENCES auth.users);
INSERT INTO public.orders
SELECT kind || '-' || u.id, u.id FROM auth.users AS u, unnest('{a,b}'::text[]) AS k (kind);
ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.orders TO authenticated;
CREATE POLICY own ON public.orders TO authenticated USING (buyer = auth.uid());

CREATE FUNCTION public.make_items(p_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TABLE public.%1$I (id int PRIMARY KEY, order_id text REFERENCES public.orders,
             note text);
         INSERT INTO public.%1$I SELECT row_number() OVER (ORDER BY id), id FROM public.orders;
         ALTER TABLE public.%1$I ENABLE ROW LEVEL SECURITY;
         GRANT SELECT, INSERT, UPDATE, DELETE ON public.%1$I TO authenticated', p_name);
END $$;

-- Each user with an order reaches all items.
SELECT public.make_items('shared_items');
CREATE POLICY buyers ON public.shared_items TO authenticated
    USING (EXISTS (SELECT FROM public.orders AS o WHERE o.buyer = auth.uid()));
-- The policies bind the order.
SELECT public.make_items('bound_items');
CREATE POLICY buyer ON public.bound_items TO authenticated
    USING (EXISTS (SELECT FROM public.orders AS o WHERE o.id = order_id AND o.buyer = auth.uid()));
-- Items move into orders of others.
SELECT public.make_items('moved_items');
CREATE POLICY see ON public.moved_items FOR SELECT TO authenticated
    USING (order_id IN (SELECT o.id FROM public.orders AS o WHERE o.buyer = auth.uid()));
CREATE POLICY change ON public.moved_items FOR UPDATE TO authenticated
    USING (order_id IN (SELECT o.id FROM public.orders AS o WHERE o.buyer = auth.uid()))
    WITH CHECK (EXISTS (SELECT FROM public.orders AS o WHERE o.buyer = auth.uid()));
-- Items of others move into own orders.
SELECT public.make_items('taken_items');
CREATE POLICY change ON public.taken_items FOR UPDATE TO authenticated
    USING (EXISTS (SELECT FROM public.orders AS o WHERE o.buyer = auth.uid()))
    WITH CHECK (order_id IN (SELECT o.id FROM public.orders AS o WHERE o.buyer = auth.uid()));
-- Items are added to orders of others.
SELECT public.make_items('added_items');
CREATE POLICY see ON public.added_items FOR SELECT TO authenticated
    USING (order_id IN (SELECT o.id FROM public.orders AS o WHERE o.buyer = auth.uid()));
CREATE POLICY add ON public.added_items FOR INSERT TO authenticated
    WITH CHECK (EXISTS (SELECT FROM public.orders AS o WHERE o.buyer = auth.uid()));
DROP FUNCTION public.make_items(text);
-- Notes on items, two keys below the order.
CREATE TABLE public.item_notes (id int, item_id int REFERENCES public.bound_items, note text);
CREATE TABLE public.item_tags (LIKE public.item_notes,
    FOREIGN KEY (item_id) REFERENCES public.bound_items);
INSERT INTO public.item_notes SELECT id, id FROM public.bound_items;
INSERT INTO public.item_tags SELECT id, id FROM public.bound_items;
ALTER TABLE public.item_notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.item_tags ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.item_notes, public.item_tags TO authenticated;
CREATE POLICY buyers ON public.item_notes FOR SELECT TO authenticated
    USING (EXISTS (SELECT FROM public.orders AS o WHERE o.buyer = auth.uid()));
CREATE POLICY buyer ON public.item_tags FOR SELECT TO authenticated
    USING (EXISTS (SELECT FROM public.bound_items AS i JOIN public.orders AS o ON o.id = i.order_id
        WHERE i.id = item_id AND o.buyer = auth.uid()));

-- Shops are public, and so are their pictures; their payouts are not.
CREATE TABLE public.shops (id int PRIMARY KEY, owner uuid NOT NULL REFERENCES auth.users);
INSERT INTO public.shops SELECT row_number() OVER (ORDER BY id), id FROM auth.users;
CREATE TABLE public.pictures (id int, shop_id int REFERENCES public.shops);
CREATE TABLE public.payouts (id int, shop_id int REFERENCES public.shops);
INSERT INTO public.pictures SELECT id, id FROM public.shops;
INSERT INTO public.payouts SELECT id, id FROM public.shops;
ALTER TABLE public.shops ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.pictures ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.payouts ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.shops, public.pictures, public.payouts TO authenticated;
CREATE POLICY everyone ON public.shops FOR SELECT TO authenticated USING (auth.uid() IS NOT NULL);
CREATE POLICY buyers ON public.pictures FOR SELECT TO authenticated
    USING (shop_id > 0 AND EXISTS (SELECT FROM public.orders AS o WHERE o.buyer = auth.uid()));
CREATE POLICY own ON public.payouts FOR SELECT TO authenticated
    USING (EXISTS (SELECT FROM public.shops AS s WHERE s.id = shop_id AND s.owner = auth.uid()));
