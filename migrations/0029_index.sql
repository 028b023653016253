-- Indexing an archive for the search takes a quarter less, and touches a large index less often.
--
-- PostgreSQL plans a function in SQL anew whenever another one calls it, and each field of
-- a mail was folded by such a call. What PL/pgSQL evaluates is planned once a connection.
-- What these functions give is the same.

create or replace function mailrow.fold(p_text text) returns text
language plpgsql immutable strict parallel safe as $$
begin
    if pg_catalog.octet_length(p_text) operator(pg_catalog.=) pg_catalog.length(p_text) then
        return pg_catalog.btrim(pg_catalog.regexp_replace(pg_catalog.lower(p_text collate pg_catalog."C"), '[^a-z0-9]+', ' ', 'g'));
    end if;
    return mailrow.fold_letters(p_text);
end $$;

create or replace function mailrow.fold_each(p_texts text[]) returns text
language plpgsql immutable strict parallel safe as $$
declare
    v_folded text[];  -- to put them together one by one would copy all for each
    v_text   text;
begin
    foreach v_text in array p_texts loop
        if v_text is not null then
            v_folded := pg_catalog.array_append(v_folded, mailrow.fold(v_text));
        end if;
    end loop;
    return pg_catalog.array_to_string(v_folded, ' | ');
end $$;

create or replace function mailrow.search_text(
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[], p_recipient_names text[],
    p_attachment_names text[], p_list_id text, p_text text
) returns text
language plpgsql immutable parallel safe as $$
begin
    return pg_catalog.concat(' ', pg_catalog.concat_ws(' | ',
        mailrow.fold(p_subject), mailrow.fold(p_from_name), mailrow.fold(p_from_address), mailrow.fold(p_sender_address),
        mailrow.fold_each(p_to_addresses), mailrow.fold_each(p_cc_addresses), mailrow.fold_each(p_reply_to),
        mailrow.fold_each(p_recipient_names), mailrow.fold_each(mailrow.file_names(p_attachment_names)),
        -- Normalizing takes up to 72 bytes a character, and no value may have more than 1 GB.
        mailrow.fold(p_list_id), mailrow.fold(pg_catalog.left(p_text, 10000000))), ' ');
end $$;

create or replace function mailrow.marked(p_field text, p_text text) returns text
language plpgsql immutable strict parallel safe as $$
begin
    return pg_catalog.concat(p_field, ':', pg_catalog.replace(mailrow.fold(p_text), ' ', pg_catalog.concat(' ', p_field, ':')));
end $$;

-- Words are put aside (see 0026_growth.sql) until they are an eighth of the index, and not
-- four megabytes: brought to their places together, those of many more mails touch each page
-- of a large index less often. They take room in it, which stays there for the next, and each
-- search reads them, so there are limits.
create or replace function mailrow.index_mail(p_limit integer default 200) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_most     constant bigint := least(pg_size_bytes(current_setting('maintenance_work_mem')), 256 << 20);
    v_room     constant bigint := greatest(pg_size_bytes(current_setting('gin_pending_list_limit')),
                                           least(v_most, pg_relation_size(to_regclass('mailrow.messages_by_word')) / 8));
    v_limit    constant text := current_setting('gin_pending_list_limit');
    v_memory   constant text := current_setting('work_mem');
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
        perform gin_clean_pending_list(to_regclass(i)) from unnest('{mailrow.messages_by_word,mailrow.messages_by_field}'::text[]) i;
        return 0;
    end if;
    -- The lock makes set_language() wait, and then find what is indexed here.
    select a.language into v_language from mailrow.accounts a where a.account_id = v_account for share;
    perform set_config('gin_pending_list_limit', v_room / 1024 || 'kB', true), set_config('work_mem', v_most / 1024 || 'kB', true);
    begin
        update mailrow.messages m set language = coalesce(v_language, 'simple')
        where m.account_id = v_account and m.id = any (v_messages);
    exception when data_exception or program_limit_exceeded then
        perform mailrow.index_one_by_one(v_account, v_messages, coalesce(v_language, 'simple'));
    end;
    perform set_config('gin_pending_list_limit', v_limit, true), set_config('work_mem', v_memory, true);
    return cardinality(v_messages);
end $$;
