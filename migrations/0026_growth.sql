-- What an archive of a million mails needs, and a small mailbox in it.

-- Words come to the index of the search in bulk.
--
-- A mail of 2 KB has some 250 words, and to find the place of each of them in the
-- index takes most of the time of indexing. PostgreSQL can put the words of many mails
-- aside (the pending list) and bring them to their places together, where a word that
-- many of them have is looked up once. Searches read what was put aside: they find all,
-- only slower the longer the list is. So index_mail() ends it when nothing waits any more.

alter index mailrow.messages_by_word set (fastupdate = on);

create or replace function mailrow.index_mail(p_limit integer default 200) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_account  bigint;
    v_language text;
    v_messages bigint[];
begin
    perform mailrow.insist_on_read_committed();
    -- One account at a time, and nothing that another indexer has in hand.
    select m.account_id into v_account from mailrow.messages m where m.language is null limit 1;
    select array_agg(s.id) into v_messages
    from (select m.id from mailrow.messages m
          where m.account_id = v_account and m.language is null
          order by m.id limit p_limit for no key update skip locked) s;
    if v_messages is null then
        perform gin_clean_pending_list(to_regclass('mailrow.messages_by_word'));
        return 0;
    end if;
    -- The lock makes set_language() wait, and then find what is indexed here.
    select a.language into v_language from mailrow.accounts a where a.account_id = v_account for share;
    begin
        update mailrow.messages m set language = coalesce(v_language, 'simple')
        where m.account_id = v_account and m.id = any (v_messages);
    exception when data_exception or program_limit_exceeded then
        perform mailrow.index_one_by_one(v_account, v_messages, coalesce(v_language, 'simple'));
    end;
    return cardinality(v_messages);
end $$;

-- The newest mail of a place. View mail knows accounts and mailboxes by name, so the
-- planner cannot tell how much mail a name stands for: by the view, the newest mail of
-- a mailbox that has little is found by walking through all mail, from the newest on.
-- This function walks along the index of each mailbox. It has no settings of its own, so
-- that the planner sees through it: what is not asked for is not read.
do $$
begin
    if current_setting('server_version_num')::integer >= 150000 then
        create function mailrow.newest(account text, mailbox text default null, max_rows integer default 50) returns setof mailrow.mail
        language sql stable rows 50 as $sql$
            select m.* from mailrow.mail m
            where (m.account_id, m.id) in (
                select s.account_id, s.id
                from mailrow.mailboxes b
                cross join lateral (
                    select d.account_id, d.id, d.received_at from mailrow.deliveries d
                    where d.account_id = b.account_id and d.mailbox = b.mailbox_id
                    order by d.received_at desc, d.id desc limit $3) s
                where b.account_id = (select a.account_id from mailrow.accounts a where a.name = $1)
                  and ($2 is null or b.name = $2)
                order by s.received_at desc, s.id desc limit $3)
            order by m.received_at desc, m.id desc
        $sql$;
    else
        -- Readers have only the views there.
        create function mailrow.newest(account text, mailbox text default null, max_rows integer default 50) returns setof mailrow.mail
        language sql stable rows 50 as $sql$
            select m.* from mailrow.mail m
            where m.account = $1 and ($2 is null or m.mailbox = $2)
            order by m.received_at desc, m.id desc limit $3
        $sql$;
    end if;
end $$;
comment on function mailrow.newest is
    'The newest mail of a mailbox, or of a whole account: as view mail, but as fast for a mailbox that has little mail among much.';
