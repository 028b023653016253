-- The ids of a mail, and the attachments, are looked up one by one, by their keys.
--
-- Where PostgreSQL knows nothing of a table yet, as after it was restored, or in the minute
-- before autovacuum has seen a new one, it took several at once for more work than all
-- that the account has, and a delivery read them all. "limit 1" leaves it no choice.

create or replace function mailrow.join_threads(p_account bigint, p_ids bigint[]) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_threads bigint[];
    v_other   bigint;
    v_moved   boolean;
begin
    -- One at a time in an account.
    perform from mailrow.accounts a where a.account_id = p_account for no key update;
    select array_agg(distinct t.thread order by t.thread) into v_threads
    from unnest(p_ids) i (id)
    cross join lateral (select t.thread from mailrow.thread_ids t where t.account_id = p_account and t.id = i.id limit 1) t;
    loop
        -- Whom this waits for has added ids that its snapshot does not show: it looks again.
        v_moved := false;
        foreach v_other in array coalesce(v_threads[2:], '{}') loop
            update mailrow.thread_ids t set thread = v_threads[1] where t.account_id = p_account and t.thread = v_other;
            v_moved := v_moved or found;
        end loop;
        exit when not v_moved;
    end loop;
    foreach v_other in array coalesce(v_threads[2:], '{}') loop
        update mailrow.messages m set thread = v_threads[1] where m.account_id = p_account and m.thread = v_other;
    end loop;
    return v_threads[1];
end $$;

-- deliver_one() and deliver_next() are of one text again, but for the lock, which is a
-- command where it can be one.
do $do$
declare
    v_parameters constant text := $text$
    p_schema integer,
    p_account text, p_mailbox text, p_extension_mailbox boolean,
    p_address text, p_wildcard text, p_base text,
    p_line_ends text, p_header_size integer, p_parser smallint,
    p_sent_at timestamptz, p_sent_offset smallint,
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[],
    p_message_id text, p_in_reply_to text, p_references_ids text[],
    p_defects text[], p_field_starts integer[], p_field_values text[],
    p_content_type text, p_text text, p_text_pieces integer[], p_html text, p_html_pieces integer[],
    p_reply_ranges integer[], p_attachment_names text[], p_recipient_names text[], p_auto_submitted text, p_bulk boolean, p_list_id text,
    p_parts jsonb, p_address_list jsonb, p_thread_ids bigint[], p_subject_id bigint,
    p_source text, p_sender text, p_recipient text, p_original_recipient text, p_extension text,
    p_client_address inet, p_client_helo text, p_client_name text, p_client_protocol text,
    p_sasl_username text, p_queue_id text, p_received_at timestamptz, p_flags text[],
    p_envelope_defects text[], p_raw bytea
$text$;
    v_statement constant text := $text$
with route as (
    select r.account, replace(r.mailbox, '*', lower(coalesce(p_extension, ''))) as mailbox from mailrow.routes r
    where p_account is null and r.pattern in (p_address, p_wildcard, p_base, substring(p_base from '@[^@]*$'), '*')
    order by case r.pattern when p_address then 1 when p_wildcard then 2 when p_base then 3 when '*' then 5 else 4 end
    limit 1
), %s
place as (
    select a.account_id from mailrow.accounts a
    where %s p_schema = 2 and a.name = coalesce(p_account, (select account from route), p_base)
      and lower(coalesce(case when p_extension_mailbox then lower(nullif(p_extension, '')) end,
                         p_mailbox, nullif((select mailbox from route), ''), 'INBOX')) = 'inbox'
      and (a.notify_until > now()) is not true
), known as (
    select p.account_id, nextval('mailrow.messages_id_seq') as id,
           t.thread, t.ids, case when t.thread is null then 0 when t.thread = t.last_thread then 1 else 2 end as threads
    from place p
    cross join lateral (select min(t.thread) as thread, max(t.thread) as last_thread, count(*) as ids
                        from unnest(p_thread_ids) i (id)
                        cross join lateral (select t.thread from mailrow.thread_ids t
                                            where t.account_id = p.account_id and t.id = i.id limit 1) t) t
), ids as (
    insert into mailrow.thread_ids (account_id, id, thread)
    select k.account_id, i, coalesce(k.thread, k.id)
    from known k, unnest(p_thread_ids || p_subject_id) i where i is not null and k.threads <= 1 order by i
    on conflict on constraint thread_ids_pkey do nothing
    returning id
), message as (
    insert into mailrow.messages (
                    account_id, id, thread, sha256, size, line_ends, header_size, parser, sent_at, sent_offset,
                    subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to,
                    message_id, in_reply_to, references_ids, defects, field_starts, field_values,
                    content_type, "text", text_pieces, html, html_pieces, reply_ranges,
                    attachment_names, recipient_names, auto_submitted, bulk, list_id, raw)
    select account_id, id, coalesce(thread, id), sha256(p_raw), length(p_raw), p_line_ends, p_header_size, p_parser, p_sent_at, p_sent_offset,
                    p_subject, p_from_name, p_from_address, p_sender_address, p_to_addresses, p_cc_addresses, p_reply_to,
                    p_message_id, p_in_reply_to, p_references_ids, p_defects, p_field_starts, p_field_values,
                    p_content_type, p_text, p_text_pieces, p_html, p_html_pieces, p_reply_ranges,
                    p_attachment_names, p_recipient_names, p_auto_submitted, p_bulk, p_list_id, p_raw
    from (select k.account_id, k.id, k.thread from known k
          -- The ids first, then the lock: see find_thread().
          cross join lateral (select count(*) filter (where ids.id = any (p_thread_ids)) as added from ids) n
          left join lateral (select t.thread from unnest(p_thread_ids) i (id)
                             cross join lateral (select t.thread from mailrow.thread_ids t
                                                 where n.added >= 0 and t.account_id = k.account_id and t.id = i.id
                                                 limit 1 for share) t
                             limit 1) l on true
          where k.threads <= 1
            and case when k.ids + n.added = cardinality(p_thread_ids) and l.thread is not distinct from k.thread then true
                     -- Another delivery has just brought one of the ids: that is for deliver().
                     else mailrow_delivery.leave_to_deliver() end) n
    on conflict on constraint messages_sha256_key do nothing
    returning account_id, id
), parts as (
    insert into mailrow.message_parts (
                    account_id, message, "position", section, content_type, charset, disposition, filename, content_id,
                    encoding, size, header_start, body_start, body_end, attachment, kept)
    select m.account_id, m.id, p."position", p.section, p.content_type, p.charset, p.disposition, p.filename, p.content_id,
                    p.encoding, p.size, p.header_start, p.body_start, p.body_end, p.attachment, p.kept
    from message m, jsonb_to_recordset(p_parts) as p (
                    "position" smallint, section text, content_type text, charset text, disposition text, filename text,
                    content_id text, encoding text, size bigint, header_start integer, body_start integer, body_end integer,
                    attachment boolean, kept text)
), addresses as (
    insert into mailrow.message_addresses (account_id, message, "position", field, address, name)
    select m.account_id, m.id, u."position"::smallint, u.address ->> 0, u.address ->> 1, u.address ->> 2
    from message m, jsonb_array_elements(p_address_list) with ordinality as u (address, "position")
)
insert into mailrow.deliveries (
            account_id, message, mailbox, received_at, source, sender, recipient, original_recipient, extension,
            client_address, client_helo, client_name, client_protocol, sasl_username, queue_id,
            flags, defects)
select message.account_id, message.id, 0, coalesce(p_received_at, now()), p_source, p_sender, p_recipient,
            p_original_recipient, p_extension,
            p_client_address, p_client_helo, p_client_name, p_client_protocol, p_sasl_username, p_queue_id,
            coalesce(p_flags, '{}'), p_envelope_defects
from message
returning id
$text$;
begin
    execute 'create or replace function mailrow_delivery.deliver_one(' || v_parameters || ') returns bigint
language sql security definer begin atomic
    select set_config(''synchronous_commit'', ''local'', true) where current_setting(''synchronous_commit'') = ''off'';
    ' || format(v_statement, $text$shared as (
    select from mailrow.accounts a where a.account_id = -1 for key share -- as in deliver()
),$text$, 'not exists (select from shared) and') || ';
end';
    execute 'create or replace function mailrow_delivery.deliver_next(' || v_parameters || ') returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    v_delivery bigint;
begin
    if current_setting(''synchronous_commit'') = ''off'' then
        perform set_config(''synchronous_commit'', ''local'', true);
    end if;
    -- Locks no row, but the table against delete_account(), which waits until we are done.
    lock table mailrow.accounts in row share mode;
    ' || format(v_statement, '', '') || ' into v_delivery;
    return v_delivery;
end $$';
end $do$;

create or replace function mailrow.keep_blobs(p_account bigint, p_sha256 bytea[], p_contents bytea[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    v_distinct constant bigint := (select count(distinct s) from unnest(p_sha256) s);
    v_kept     bigint;
begin
    -- In order of their hashes, so that two deliveries cannot deadlock. The locks
    -- keep delete_mail() from removing what is there; what it has just removed comes anew.
    loop
        insert into mailrow.blobs (account_id, sha256, content)
        select p_account, b.s, p_contents[b.n]
        from (select distinct on (s) s, n from unnest(p_sha256) with ordinality as t (s, n) order by s) b
        on conflict on constraint blobs_pkey do nothing;
        select count(*) into v_kept
        from (select distinct s from unnest(p_sha256) s order by s) d
        cross join lateral (select from mailrow.blobs b
                            where b.account_id = p_account and b.sha256 = d.s limit 1 for key share) k;
        exit when v_kept = v_distinct;
    end loop;
end $$;
