CREATE TABLE bad.bids (id int, user_id uuid, amount int);
ALTER TABLE bad.bids ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON bad.bids TO authenticated;
CREATE POLICY own ON bad.bids USING (user_id = auth.uid());
CREATE FUNCTION bad."Bid ""now""" (p int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN IF p < 1 THEN RAISE EXCEPTION 'too little'; END IF;
        INSERT INTO bad.bids VALUES (1, auth.uid(), p); END $$;
COMMENT ON FUNCTION bad."Bid ""now""" IS 'leak LOW';

CREATE FUNCTION good.unchecked(p int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN INSERT INTO bad.bids VALUES (1, auth.uid(), p); END $$;
CREATE FUNCTION good.only_way(p int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN IF p < 1 THEN RAISE EXCEPTION 'too little'; END IF; UPDATE bad.bids SET amount = p;
    END $$;
CREATE FUNCTION good.as_caller(p int) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN IF p < 1 THEN RAISE EXCEPTION 'too little'; END IF;
        INSERT INTO bad.bids VALUES (1, auth.uid(), p); END $$;
