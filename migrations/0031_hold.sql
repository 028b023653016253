-- Mails of several threads that are stored together never wait for who joins one of the
-- threads while they keep the others from being joined: two such would wait for each other.

create function mailrow.hold_threads(p_account bigint, p_ids bigint[], p_threads bigint[]) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
    if (select count(*) from unnest(p_ids, p_threads) k (id, thread)
        cross join lateral (select t.thread from mailrow.thread_ids t
                            where t.account_id = p_account and t.id = k.id limit 1 for share nowait) t
        where t.thread = k.thread) < cardinality(p_ids) then
        raise lock_not_available;  -- which also lets go of the others
    end if;
    return true;
exception when lock_not_available then
    return false;
end $$;
comment on function mailrow.hold_threads is
    'Keeps the threads of ids that others see from being joined to older ones, until the end of the transaction. Where one of the ids is in another thread by now, or is just being joined: holds nothing, and returns false.';

create or replace function mailrow.find_thread(p_account bigint, p_ids bigint[], p_subject_id bigint, p_new bigint) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_added   bigint[];
    v_other   bigint;    -- one of the ids that others have brought
    v_threads bigint[];
    v_thread  bigint;
begin
    -- Every delivery brings its ids first and in their order, so that two of one
    -- thread wait for each other here, and never in a circle.
    with added as (
        insert into mailrow.thread_ids (account_id, id, thread)
        select p_account, i, coalesce((select min(t.thread) from unnest(p_ids) o (id)
                                       cross join lateral (select t.thread from mailrow.thread_ids t
                                                           where t.account_id = p_account and t.id = o.id limit 1) t), p_new)
        from unnest(p_ids || p_subject_id) i where i is not null order by i
        on conflict on constraint thread_ids_pkey do nothing
        returning id
    )
    select coalesce(array_agg(a.id), '{}') into v_added from added a;
    select array_agg(distinct t.thread order by t.thread), min(t.id) filter (where t.id <> all (v_added))
    into v_threads, v_other
    from unnest(p_ids) i (id)
    cross join lateral (select t.id, t.thread from mailrow.thread_ids t
                        where t.account_id = p_account and t.id = i.id limit 1) t;
    if cardinality(v_threads) > 1
       or v_other is not null and not mailrow.hold_threads(p_account, array[v_other], v_threads) then
        v_thread := mailrow.join_threads(p_account, p_ids);
        -- From here on nobody else joins. This is for who deletes mail: see remove_threads().
        perform from mailrow.thread_ids t where t.account_id = p_account and t.id = v_other limit 1 for share;
    end if;
    v_thread := coalesce(v_thread, v_threads[1], p_new);
    -- Who has joined the thread meanwhile did not see the subject that came with it.
    if p_subject_id = any (v_added) then
        update mailrow.thread_ids t set thread = v_thread
        where t.account_id = p_account and t.id = p_subject_id and t.thread <> v_thread;
    end if;
    return v_thread;
end $$;

create or replace function mailrow.find_threads(
    p_account bigint, p_ids bigint[], p_conversations integer[], p_named boolean[], p_new bigint[]
) returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_threads bigint[] := p_new;
    v_known   bigint;            -- how many ids were there before
    v_added   bigint;
    v_of      integer[] := '{}'; -- conversations with a known id, that id, and its thread
    v_ids     bigint[] := '{}';
    v_held    bigint[] := '{}';
    v_several integer[] := '{}'; -- conversations that lead to more than one thread
    v         record;
begin
    select count(*) into v_known
    from unnest(p_ids) i (id)
    cross join lateral (select from mailrow.thread_ids t where t.account_id = p_account and t.id = i.id limit 1) t;
    if v_known > 0 then
        for v in select * from mailrow.threads_of(p_account, p_ids, p_conversations, p_named) loop
            v_threads[v.conversation] := v.thread;
            v_of := v_of || v.conversation;
            v_ids := v_ids || v.id;
            v_held := v_held || v.thread;
            if v.thread <> v.last_thread then
                v_several := v_several || v.conversation;
            end if;
        end loop;
    end if;

    -- As find_thread(): first the ids, in their order.
    insert into mailrow.thread_ids (account_id, id, thread)
    select p_account, i.id, v_threads[i.conversation] from unnest(p_ids, p_conversations) i (id, conversation) order by i.id
    on conflict on constraint thread_ids_pkey do nothing;
    get diagnostics v_added = row_count;
    if v_known + v_added <> cardinality(p_ids) then
        -- Others have brought some of them since: any conversation may go on another thread.
        v_several := array(select distinct c from unnest(p_conversations, p_named) i (c, named) where named order by c);
    elsif cardinality(v_ids) = 0 then
        return p_new;
    end if;

    -- Who joins has the account for himself, and looks at all conversations again.
    if cardinality(v_several) = 0 and not mailrow.hold_threads(p_account, v_ids, v_held) then
        v_several := v_of[1:1];
    end if;
    if cardinality(v_several) > 0 then
        v_threads := mailrow.join_all_threads(p_account, p_ids, p_conversations, p_named, v_several, v_threads);
        -- As find_thread(): for who deletes mail.
        perform from unnest(v_ids) k (id)
        cross join lateral (select from mailrow.thread_ids t where t.account_id = p_account and t.id = k.id limit 1 for share) t;
    end if;
    return v_threads;
end $$;
