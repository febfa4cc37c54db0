-- Updates crewsnow_ops.user_context, by which flags target users, when users or subscriptions
-- change. Load it as superuser, after CREATE EXTENSION crewsnow_ops and before or after data.sql.

CREATE FUNCTION private.refresh_user_context(p_user_ids uuid[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
    BEGIN
        -- Concurrent changes of the same users wait here, in the order of user_id. The next
        -- statement then sees the committed changes of the other session.
        PERFORM FROM crewsnow_ops.user_context WHERE user_id = ANY (p_user_ids)
            ORDER BY user_id FOR UPDATE;

        INSERT INTO crewsnow_ops.user_context AS context (user_id, is_premium, region, segments)
        SELECT
            users.id,
            users.id IN (SELECT user_id FROM public.subscriptions
                WHERE status IN ('active', 'trialing')),
            users.region,
            CASE WHEN users.is_beta_tester THEN ARRAY['beta'] ELSE ARRAY[]::text[] END
        FROM public.users
        WHERE users.id = ANY (p_user_ids)
        ORDER BY users.id
        ON CONFLICT (user_id) DO UPDATE
            SET is_premium = EXCLUDED.is_premium, region = EXCLUDED.region,
                segments = EXCLUDED.segments, updated_at = now()
            WHERE (context.is_premium, context.region, context.segments)
                IS DISTINCT FROM (EXCLUDED.is_premium, EXCLUDED.region, EXCLUDED.segments);

        DELETE FROM crewsnow_ops.user_context AS context
        WHERE context.user_id = ANY (p_user_ids)
            AND NOT EXISTS (SELECT FROM public.users WHERE users.id = context.user_id);
    END
    $$;
COMMENT ON FUNCTION private.refresh_user_context(uuid[]) IS
    'Inserts, updates or deletes the rows of these users in crewsnow_ops.user_context.';

-- Statement triggers with transition tables: a bulk load costs one pass, and an update of
-- last_active_at alone costs almost nothing.
CREATE FUNCTION private.users_to_user_context() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
    DECLARE
        changed uuid[];
    BEGIN
        CASE TG_OP
            WHEN 'INSERT' THEN
                changed := ARRAY(SELECT id FROM new_rows);
            WHEN 'DELETE' THEN
                changed := ARRAY(SELECT id FROM old_rows);
            WHEN 'TRUNCATE' THEN
                changed := ARRAY(SELECT user_id FROM crewsnow_ops.user_context);
            ELSE
                changed := ARRAY(
                    SELECT coalesce(new_rows.id, old_rows.id)
                    FROM old_rows FULL JOIN new_rows ON new_rows.id = old_rows.id
                    WHERE (old_rows.id, old_rows.region, old_rows.is_beta_tester)
                        IS DISTINCT FROM (new_rows.id, new_rows.region, new_rows.is_beta_tester)
                );
        END CASE;
        IF cardinality(changed) > 0 THEN
            PERFORM private.refresh_user_context(changed);
        END IF;
        RETURN NULL;
    END
    $$;
COMMENT ON FUNCTION private.users_to_user_context() IS 'Trigger on public.users.';

CREATE FUNCTION private.subscriptions_to_user_context() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
    DECLARE
        changed uuid[];
    BEGIN
        CASE TG_OP
            WHEN 'INSERT' THEN
                changed := ARRAY(SELECT DISTINCT user_id FROM new_rows);
            WHEN 'DELETE' THEN
                changed := ARRAY(SELECT DISTINCT user_id FROM old_rows);
            WHEN 'TRUNCATE' THEN
                changed := ARRAY(SELECT user_id FROM crewsnow_ops.user_context WHERE is_premium);
            ELSE
                changed := ARRAY(SELECT user_id FROM old_rows UNION SELECT user_id FROM new_rows);
        END CASE;
        IF cardinality(changed) > 0 THEN
            PERFORM private.refresh_user_context(changed);
        END IF;
        RETURN NULL;
    END
    $$;
COMMENT ON FUNCTION private.subscriptions_to_user_context() IS 'Trigger on public.subscriptions.';

REVOKE ALL ON FUNCTION private.refresh_user_context(uuid[]), private.users_to_user_context(),
    private.subscriptions_to_user_context() FROM PUBLIC;

-- A trigger with transition tables can have one event only.
CREATE TRIGGER user_context_after_insert AFTER INSERT ON public.users
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION private.users_to_user_context();
CREATE TRIGGER user_context_after_update AFTER UPDATE ON public.users
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION private.users_to_user_context();
CREATE TRIGGER user_context_after_delete AFTER DELETE ON public.users
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION private.users_to_user_context();
CREATE TRIGGER user_context_after_truncate AFTER TRUNCATE ON public.users
    FOR EACH STATEMENT EXECUTE FUNCTION private.users_to_user_context();

CREATE TRIGGER user_context_after_insert AFTER INSERT ON public.subscriptions
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION private.subscriptions_to_user_context();
CREATE TRIGGER user_context_after_update AFTER UPDATE ON public.subscriptions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION private.subscriptions_to_user_context();
CREATE TRIGGER user_context_after_delete AFTER DELETE ON public.subscriptions
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION private.subscriptions_to_user_context();
CREATE TRIGGER user_context_after_truncate AFTER TRUNCATE ON public.subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION private.subscriptions_to_user_context();

-- Users from before this script.
DO $$
BEGIN
    PERFORM private.refresh_user_context(ARRAY(SELECT id FROM public.users));
END
$$;
