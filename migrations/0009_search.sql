-- Search: what mail says, in words and operators that people know.
--
-- One index holds the distinct words of each message, and beside them some marks
-- that no text can hold, since they have a colon: what is attached, how large it
-- is, whose it is, and a range of ids, so that the index itself narrows by them.
-- The index knows words, not their places: it finds candidates, and what they say
-- is read where a query asks for more. No tsvector is stored.
--
-- language is NULL until index_mail() has taken a message up, and the index is
-- partial, so that a delivery does not pay for it. search() reads those few
-- messages as they are: its answer is complete at any time.

-- Words.

create function mailrow.fold_letters(p_text text) returns text
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_text text := replace(replace(normalize(p_text, NFKD), E'\u0438\u0306', E'\u0439'), E'\u0418\u0306', E'\u0439');
begin
    -- Accents and vowel points, soft hyphens and what else has no width.
    v_text := regexp_replace(v_text,
        '[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]+', '', 'g');
    v_text := lower(lower(normalize(v_text, NFC) collate "C") collate "default");
    if lower(E'\u0416') = E'\u0416' then  -- a database with locale C
        v_text := translate(v_text, 'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЂЄЅІЈЉЊЋЏҐÆØŁĐÐÞŒĦŦ',
                                    'αβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяђєѕіјљњћџґæøłđðþœħŧ');
    end if;
    if v_text ~ '[ßẞæœþøłđðıħŧς]' then
        v_text := replace(replace(replace(replace(replace(v_text, 'ß', 'ss'), 'ẞ', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
        v_text := translate(v_text, 'øłđðıħŧς', 'olddihtσ');
    end if;
    -- Scripts that put no blanks between words.
    if v_text ~ '[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]' then
        v_text := regexp_replace(v_text,
            '([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff])', ' \1 ', 'g');
    end if;
    -- Not [:alnum:], which is another set under another locale.
    return btrim(regexp_replace(v_text,
        '[\u0001-\u002f\u003a-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u02c2-\u02ff\u037e\u0387\u0589\u058a\u05be\u05c0\u05c3\u05c6\u05f3\u05f4\u0609-\u061f\u066a-\u066d\u06d4\u0964\u0965\u0e2f\u0e5a\u0e5b\u10fb\u1361-\u1368\u17d4-\u17da\u1800-\u180e\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb\ue000-\uf8ff\ufd3e\ufd3f\ufe10-\ufe6f\ufff0-\uffff\U0001f000-\U0001fbff]+', ' ', 'g'));
end $$;
comment on function mailrow.fold_letters is
    'fold() of a text that is not plain ASCII.';

create function mailrow.fold(p_text text) returns text
language sql immutable strict parallel safe as $$
    select case when pg_catalog.octet_length(p_text) operator(pg_catalog.=) pg_catalog.length(p_text)
        then pg_catalog.btrim(pg_catalog.regexp_replace(pg_catalog.lower(p_text collate pg_catalog."C"), '[^a-z0-9]+', ' ', 'g'))
        else mailrow.fold_letters(p_text) end
$$;
comment on function mailrow.fold is
    'The words of a text with one blank between them: in lower case, without accents and punctuation, and each character of a script without blanks (Chinese, Japanese, Thai) a word.';

create function mailrow.fold_each(p_texts text[]) returns text
language sql immutable strict parallel safe as $$
    select pg_catalog.string_agg(mailrow.fold(t), ' | ') from pg_catalog.unnest(p_texts) t
$$;
comment on function mailrow.fold_each is 'fold() of several texts, with a bar between them, which no phrase has.';

create function mailrow.file_names(p_attachment_names text[]) returns text[]
language sql immutable strict parallel safe as $$
    select pg_catalog.array_agg(p_attachment_names[i])
    from pg_catalog.generate_series(2, pg_catalog.cardinality(p_attachment_names), 2) i
$$;
comment on function mailrow.file_names is 'The names in messages.attachment_names, without the types.';

create function mailrow.search_text(
    p_subject text, p_from_name text, p_from_address text, p_sender_address text,
    p_to_addresses text[], p_cc_addresses text[], p_reply_to text[], p_recipient_names text[],
    p_attachment_names text[], p_list_id text, p_text text
) returns text
language sql immutable parallel safe as $$
    select pg_catalog.concat(' ', pg_catalog.concat_ws(' | ',
        mailrow.fold(p_subject), mailrow.fold(p_from_name), mailrow.fold(p_from_address), mailrow.fold(p_sender_address),
        mailrow.fold_each(p_to_addresses), mailrow.fold_each(p_cc_addresses), mailrow.fold_each(p_reply_to),
        mailrow.fold_each(p_recipient_names), mailrow.fold_each(mailrow.file_names(p_attachment_names)),
        -- Normalizing takes up to 72 bytes a character, and no value may have more than 1 GB.
        mailrow.fold(p_list_id), mailrow.fold(pg_catalog.left(p_text, 10000000))), ' ')
$$;
comment on function mailrow.search_text is
    'All that words and phrases search in a message, folded. Of its text the first ten million characters.';

create function mailrow.text_words(p_language text, p_folded text) returns text[]
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    -- A configuration that is there no more must not keep a message from being written.
    v_language constant regconfig := case
        when p_language = 'simple' then 'simple'
        when exists (select from pg_ts_config c where c.oid::regconfig::text = p_language) then p_language
        else 'simple' end;
    -- So long are hashes and base64, not words. Bars are only between fields.
    v_text constant text := regexp_replace(p_folded, '[^ ]{41,}', '', 'g');
begin
    if length(v_text) <= 150000 then
        return tsvector_to_array(to_tsvector(v_language, v_text));
    end if;
    -- A tsvector ends at 1 MB: first the short words, then what still finds room.
    return (
        select array_agg(w.word)
        from (select f.word, sum(octet_length(f.word)) over (order by length(f.word), f.word) as bytes
              from (select distinct unnest(tsvector_to_array(to_tsvector(v_language, c.words))) as word
                    from (select string_agg(n.word, ' ') as words
                          from (select d.word, row_number() over () / 4000 as chunk
                                from (select distinct s as word from string_to_table(v_text, ' ') s) d) n
                          group by n.chunk) c) f) w
        where w.bytes <= 900000);
end $$;
comment on function mailrow.text_words is
    'The distinct words of a folded text as the index has them: without words of more than 40 characters, and at most 900 kB of them.';

create function mailrow.type_marks(p_type text, p_name text) returns text[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    with given as (
        select lower(p_type) as type, split_part(lower(p_type), '/', 1) as family, split_part(lower(p_type), '/', 2) as subtype,
               coalesce(substring(lower(p_name) from '\.([a-z0-9]{1,10})$'), '') as ending),
    names (name) as (
        select unnest(array[type, subtype, ending, case when family in ('image', 'audio', 'video', 'text') then family end]) from given
        union
        select k.name from given
        join (values
            ('image', '{jpg,jpeg,png,gif,webp,heic,tif,tiff,bmp,svg}'), ('jpg', '{jpg,jpeg,pjpeg}'), ('jpeg', '{jpg,jpeg,pjpeg}'),
            ('audio', '{mp3,wav,ogg,flac,m4a,amr}'), ('video', '{mp4,mov,avi,mkv,webm,mpeg,mpg,wmv}'),
            ('pdf', '{pdf,x-pdf}'),
            ('word', '{doc,docx,odt,rtf,msword}'), ('doc', '{docx,msword}'), ('document', '{doc,docx,odt,rtf,msword,pdf}'),
            ('excel', '{xls,xlsx,xlsm,ods,csv}'), ('xls', '{xlsx,xlsm}'), ('spreadsheet', '{xls,xlsx,xlsm,ods,csv}'),
            ('powerpoint', '{ppt,pptx,odp}'), ('ppt', '{pptx}'), ('presentation', '{ppt,pptx,odp}'),
            ('zip', '{zip,x-zip-compressed}'), ('archive', '{zip,x-zip-compressed,rar,7z,tar,gz,gzip,tgz,bz2,xz,zst}'),
            ('calendar', '{ics,calendar}'), ('contact', '{vcf,vcard}'),
            ('mail', '{eml,rfc822,msg}'), ('eml', '{rfc822}'), ('html', '{htm}'), ('text', '{txt,md,log}')
        ) as k (name, of) on subtype = any (k.of::text[]) or ending = any (k.of::text[])
        union
        select k.name from given
        join (values
            ('word', 'wordprocessingml|opendocument\.text'), ('doc', 'wordprocessingml'), ('docx', 'wordprocessingml'),
            ('document', 'wordprocessingml|opendocument\.text'),
            ('excel', 'spreadsheet|ms-excel'), ('spreadsheet', 'spreadsheet|ms-excel'), ('xls', 'ms-excel'), ('xlsx', 'spreadsheetml'),
            ('powerpoint', 'presentation|ms-powerpoint'), ('presentation', 'presentation|ms-powerpoint'),
            ('ppt', 'ms-powerpoint'), ('pptx', 'presentationml')
        ) as k (name, pattern) on subtype ~ k.pattern)
    select array_agg('type:' || name) from names where name <> '' and length(name) <= 80
$$;
comment on function mailrow.type_marks is
    'What operator type: finds an attachment by: its type, the halves and the ending that matter, and what people call it, such as word or spreadsheet.';

create function mailrow.size_class(p_size bigint) returns integer
language sql immutable strict parallel safe as $$
    select pg_catalog.length(pg_catalog.ltrim(p_size::bit(64)::text, '0'))
$$;
comment on function mailrow.size_class is 'How many binary digits a size has.';

create function mailrow.search_words(
    p_language text, p_account bigint, p_id bigint, p_size bigint, p_attachment_names text[], p_text text
) returns tsvector
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_marks text[] := array['language:' || p_language, 'account:' || p_account, 'size:' || mailrow.size_class(p_size),
                            'ids:' || (p_id >> 10), 'wide-ids:' || (p_id >> 14)];
begin
    if p_attachment_names is not null then
        v_marks := v_marks || text 'has:attachment';
        -- A mail may have thousands; they have few types.
        v_marks := v_marks || (
            select array_agg(distinct t.mark)
            from (select distinct p_attachment_names[i] as type, substring(p_attachment_names[i + 1] from '\.[A-Za-z0-9]{1,10}$') as name
                  from generate_series(1, cardinality(p_attachment_names), 2) i limit 1000) a,
                 unnest(mailrow.type_marks(a.type, a.name)) as t (mark));
    end if;
    return array_to_tsvector(mailrow.text_words(p_language, p_text) || v_marks);
end $$;
comment on function mailrow.search_words is
    'What the index holds of a message: the words of its search_text() and marks. Never fails, whatever a mail has.';

create index messages_by_word on mailrow.messages using gin (mailrow.search_words(
    language, account_id, id, size, attachment_names, mailrow.search_text(
        subject, from_name, from_address, sender_address, to_addresses, cc_addresses, reply_to, recipient_names,
        attachment_names, list_id, mailrow.read_pieces("text", raw, text_pieces))))
    with (fastupdate = off) where language is not null;
-- ANALYZE would read the words of thousands of messages, and nobody asks for them.
alter index mailrow.messages_by_word alter column 1 set statistics 0;

create index deliveries_flagged on mailrow.deliveries (account_id, received_at) where '\Flagged' = any (flags);

-- Who asks. Row-level security cannot use the index, since its operators are not
-- leakproof, so the search runs as the owner and has to know by itself what its
-- caller may read. session_user and the setting role do not tell: within a
-- statement of autovacuum or an administrator, a function of a reader's runs as
-- the reader, while both name the superuser. What does tell is a row that only a
-- role itself can read: search() runs as its caller, reads the keys that its
-- caller can see, and shows them to the function that runs as the owner.

create table mailrow.search_keys (
    role_name text not null,
    key       uuid not null default gen_random_uuid(),
    constraint search_keys_pkey primary key (role_name)
);
comment on table mailrow.search_keys is
    'One row per role in grants: a secret that only who has the role can read, by which search() knows whose mail to search. The row without a name is for who may read all.';
insert into mailrow.search_keys (role_name) values ('');
insert into mailrow.search_keys (role_name) select distinct g.role_name from mailrow.grants g where g.role_name <> '';

-- The right to read it is in rights.sql; owner and superusers are not filtered.
alter table mailrow.search_keys enable row level security;
create policy reader on mailrow.search_keys for select using (
    case when role_name <> '' then pg_has_role(current_user, to_regrole(quote_ident(role_name)), 'usage') end);

alter function mailrow.apply_grants(text) rename to apply_policies;
comment on function mailrow.apply_policies is
    'Makes the row-level security policies of one role say what table grants says.';

create function mailrow.apply_grants(p_role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform mailrow.apply_policies(p_role);
    if exists (select from mailrow.grants g where g.role_name = p_role) then
        insert into mailrow.search_keys (role_name) values (p_role) on conflict do nothing;
    else
        delete from mailrow.search_keys k where k.role_name = p_role and k.role_name <> '';
    end if;
end $$;
comment on function mailrow.apply_grants is
    'Makes the policies and the key of one role follow table grants.';

create function mailrow.readable_accounts(p_keys uuid[]) returns bigint[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when coalesce(bool_or(k.role_name = '' or g.role_name is not null and g.account_id is null), false) then null
                else coalesce(array_agg(distinct g.account_id) filter (where g.account_id is not null), '{}') end
    from mailrow.search_keys k
    left join mailrow.grants g on g.role_name = k.role_name
    where k.key = any (p_keys)
$$;
comment on function mailrow.readable_accounts is
    'The accounts that these keys of table search_keys open; NULL for all accounts.';

-- What a query means. A query becomes one node: a tsquery that every match fulfils,
-- and SQL for what the words cannot tell.

create type mailrow.search_node as (
    words  text,         -- tsquery that every match fulfils; NULL: none
    rest   text,         -- what else must hold, in SQL; NULL: nothing
    whole  text,         -- all of it in SQL
    wanted boolean,      -- words names something that must be there, not only what must not
    since  timestamptz,  -- no match was received before
    until  timestamptz,  -- nor then or later
    places text,         -- SQL on mailboxes b that holds for every match; NULL: none
    thread text,         -- SQL on m that leaves a few messages; NULL: none
    must   text[]        -- folded words that are in the text of every match; NULL: none
);
comment on type mailrow.search_node is
    'A part of a query. Its SQL is about m (messages), d (deliveries), x.folded (search_text) and v.words (search_words).';

create function mailrow.node_of_words(p_words text) returns mailrow.search_node
language sql immutable as $$
    select row(p_words, null, format('v.words @@ %L::tsquery', p_words), true, null, null, null, null, null)::mailrow.search_node
$$;
comment on function mailrow.node_of_words is 'A node that the index decides by itself.';

create function mailrow.node_of_sql(p_words text, p_condition text) returns mailrow.search_node
language sql immutable as $$
    select row(p_words, p_condition, case when p_words is null then p_condition
               else format('(v.words @@ %L::tsquery and %s)', p_words, p_condition) end,
               p_words is not null, null, null, null, null, null)::mailrow.search_node
$$;
comment on function mailrow.node_of_sql is 'A node of words, or none, and a condition that must hold beside them and is never NULL.';

create function mailrow.node_not(n mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select row(case when n.rest is null then '!(' || n.words || ')' end,
               case when n.rest is not null then 'not ' || n.whole end,
               'not ' || n.whole, false, null, null, null, null, null)::mailrow.search_node
$$;
comment on function mailrow.node_not is 'What a node does not match.';

create function mailrow.node_and(a mailrow.search_node, b mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select case when a.whole is null then b when b.whole is null then a else
        row(nullif(concat_ws(' & ', a.words, b.words), ''), nullif(concat_ws(' and ', a.rest, b.rest), ''),
            '(' || a.whole || ' and ' || b.whole || ')', a.wanted or b.wanted,
            greatest(a.since, b.since), least(a.until, b.until),
            nullif(concat_ws(' and ', a.places, b.places), ''), coalesce(a.thread, b.thread), a.must || b.must)::mailrow.search_node end
$$;
comment on function mailrow.node_and is 'What both nodes match. A node that is NULL says nothing.';

create function mailrow.node_or(a mailrow.search_node, b mailrow.search_node) returns mailrow.search_node
language sql immutable as $$
    select row(w.words, case when w.words is null or a.rest is not null or b.rest is not null then w.whole end, w.whole,
               w.words is not null and a.wanted and b.wanted, null, null, null, null, null)::mailrow.search_node
    from (select case when a.words is not null and b.words is not null
                      then '((' || a.words || ') | (' || b.words || '))' end as words,
                 '(' || a.whole || ' or ' || b.whole || ')' as whole) w
$$;
comment on function mailrow.node_or is 'What one of two nodes matches, or both.';

create function mailrow.refuse(p_problem text, p_hint text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'mailrow: %', p_problem using errcode = 'invalid_parameter_value', hint = p_hint;
end $$;
comment on function mailrow.refuse is 'Fails with SQLSTATE 22023: a query that cannot be understood.';

create function mailrow.quote_word(p_word text) returns text
language sql immutable strict as $$
    select '''' || replace(replace(p_word, '\', '\\'), '''', '''''') || ''''
$$;
comment on function mailrow.quote_word is 'A word as tsquery reads it literally.';

create function mailrow.word_query(p_word text, p_prefix boolean, p_language text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if p_prefix then
        -- The index has stems: of what is cut off, nobody can say more.
        return mailrow.quote_word(p_word) || ':*';
    end if;
    -- A dictionary may make several words of one: all places, one word of each.
    return (
        select string_agg('(' || p.words || ')', ' & ')
        from (select string_agg(mailrow.quote_word(t.lexeme), ' | ' order by t.lexeme) as words
              from unnest(to_tsvector(p_language::regconfig, p_word)) t, unnest(t.positions) as place
              group by place order by place) p);
end $$;
comment on function mailrow.word_query is
    'The tsquery of one folded word in a language; NULL for a word that the language does not index.';

create function mailrow.words_query(p_folded text, p_prefix boolean, p_languages text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_words   constant text[] := string_to_array(p_folded, ' ');
    v_queries text[];
    v_all     text[] := '{}';
begin
    for i in 1 .. cardinality(v_words) loop
        continue when length(v_words[i]) > 40;  -- not in the index
        v_queries := array(select mailrow.word_query(v_words[i], p_prefix and i = cardinality(v_words), l)
                           from unnest(p_languages) with ordinality as t (l, n) order by n);
        if (select count(distinct coalesce(q, '')) from unnest(v_queries) q) = 1 then
            v_all := v_all || v_queries[1];
        else
            v_all := v_all || ('(' || (
                select string_agg(mailrow.quote_word('language:' || p_languages[n]) || coalesce(' & (' || q || ')', ''), ' | ' order by n)
                from unnest(v_queries) with ordinality as t (q, n)) || ')');
        end if;
    end loop;
    return array_to_string(array_remove(v_all, null), ' & ');
end $$;
comment on function mailrow.words_query is
    'The tsquery of folded words, all of them, in each of several languages; empty when none of them is indexed.';

create function mailrow.phrase(p_folded text, p_prefix boolean) returns text
language sql immutable as $$
    select ' ' || p_folded || case when p_prefix then '' else ' ' end
$$;
comment on function mailrow.phrase is 'What a folded text with a blank at both ends contains, where the words follow one another.';

create function mailrow.holds(p_texts text[], p_phrase text) returns boolean
language sql immutable as $$
    select coalesce(strpos(' ' || mailrow.fold_each(p_texts) || ' ', p_phrase) > 0, false)
$$;
comment on function mailrow.holds is 'Whether one of some texts contains a phrase.';

create function mailrow.has_address(p_account bigint, p_message bigint, p_field text, p_phrase text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from mailrow.message_addresses l
        where l.account_id = p_account and l.message = p_message and l.field = p_field
          and mailrow.holds(array[l.name, l.address], p_phrase));
end $$;
comment on function mailrow.has_address is 'Whether an address field of a message contains a phrase.';

create function mailrow.read_date(p_operator text, p_value text) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_parts text[];
begin
    case lower(p_value)
        when 'today' then return current_date;
        when 'yesterday' then return current_date - 1;
        else null;
    end case;
    v_parts := regexp_match(lower(p_value), '^(\d{1,4})(d|w|m|y)$');
    if v_parts is not null then
        return now() - (v_parts[1] || case v_parts[2] when 'd' then ' days' when 'w' then ' weeks'
                                                      when 'm' then ' months' else ' years' end)::interval;
    end if;
    v_parts := regexp_match(p_value, '^(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?$');
    if v_parts is not null then
        return make_date(v_parts[1]::integer, coalesce(v_parts[2]::integer, 1), coalesce(v_parts[3]::integer, 1));
    end if;
    raise datetime_field_overflow;
exception when datetime_field_overflow or invalid_datetime_format then
    perform mailrow.refuse(format('%s:%s is no date', p_operator, left(p_value, 100)),
        format('Write %s:2026-01-31, %1$s:2026-01, %1$s:2026, %1$s:today, or how long ago: %1$s:7d, 3w, 2m, 1y.', p_operator));
end $$;
comment on function mailrow.read_date is
    'The beginning of a day, month or year in the zone of the session, or a time so long ago.';

create function mailrow.read_size(p_operator text, p_value text) returns bigint
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_parts constant text[] := regexp_match(lower(p_value), '^(\d{1,12}(?:\.\d{1,6})?)([kmg]?)(?:i?b)?$');
    v_size  numeric;
begin
    if v_parts is not null then
        v_size := v_parts[1]::numeric * case v_parts[2] when 'k' then 1024 when 'm' then 1048576 when 'g' then 1073741824 else 1 end;
    end if;
    if v_size is null or v_size > 1e15 then
        perform mailrow.refuse(format('%s:%s is no size', p_operator, left(p_value, 100)),
            format('Write %s:500K, %1$s:5M or %1$s:1G.', p_operator));
    end if;
    return v_size::bigint;
end $$;
comment on function mailrow.read_size is 'A size in bytes: 500K, 5M, 1.5G.';

create function mailrow.text_node(p_value text, p_quoted boolean, p_languages text[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded constant text := mailrow.fold(p_value);
    v_prefix constant boolean := p_value like '%*';
    v_words  constant text := mailrow.words_query(v_folded, v_prefix, p_languages);
    v_holds  constant text := format('strpos(x.folded, %L) > 0', mailrow.phrase(v_folded, v_prefix));
    v_node   mailrow.search_node;
begin
    if v_folded = '' then
        return null;
    end if;
    -- One word in quotes is meant as it is written; without, its stem is enough,
    -- and a word that no language indexes says nothing.
    if strpos(v_folded, ' ') > 0 or length(v_folded) > 40
       or p_quoted and not v_prefix and p_languages <> array['simple'] then
        v_node := mailrow.node_of_sql(nullif(v_words, ''), v_holds);
    elsif v_words <> '' then
        v_node := mailrow.node_of_words(v_words);
    end if;
    v_node.must := mailrow.literal_words(v_folded, p_languages);
    return v_node;
end $$;
comment on function mailrow.text_node is
    'What a word or phrase means that may be anywhere in a mail; NULL where it means nothing.';

create function mailrow.literal_words(p_folded text, p_languages text[]) returns text[]
language sql immutable as $$
    -- Where words have stems, other forms count as well.
    select case when p_languages = array['simple'] then string_to_array(p_folded, ' ') end
$$;
comment on function mailrow.literal_words is 'search_node.must for folded words.';

create function mailrow.account_marks(p_accounts bigint[]) returns text
language sql immutable strict as $$
    select coalesce('(' || string_agg(mailrow.quote_word('account:' || a), ' | ') || ')', '''account:''') from unnest(p_accounts) a
$$;
comment on function mailrow.account_marks is 'The tsquery of the messages of some accounts.';

create function mailrow.field_node(p_operator text, p_value text, p_languages text[], p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded  constant text := mailrow.fold(p_value);
    v_words   constant text := nullif(mailrow.words_query(v_folded, p_value like '%*', p_languages), '');
    v_phrase  constant text := mailrow.phrase(v_folded, p_value like '%*');
    v_own     bigint[];
    v_holds   text;
    v_node    mailrow.search_node;
begin
    if v_folded = '' then
        return null;
    end if;
    v_holds := format(case p_operator
        when 'subject'   then 'mailrow.holds(array[m.subject], %L)'
        when 'from'      then 'mailrow.holds(array[m.from_name, m.from_address, m.sender_address], %L)'
        when 'list'      then 'mailrow.holds(array[m.list_id], %L)'
        when 'filename'  then 'mailrow.holds(mailrow.file_names(m.attachment_names), %L)'
        when 'cc'        then 'mailrow.has_address(m.account_id, m.id, ''cc'', %L)'
        when 'to'        then 'mailrow.has_address(m.account_id, m.id, ''to'', %L)'
        when 'recipient' then 'mailrow.holds(array[d.recipient], %L)' end, v_phrase);
    if p_operator = 'recipient' then
        return mailrow.node_of_sql(null, v_holds);
    end if;
    if p_operator = 'to' then
        -- Bcc and aliases: in the account of that name, the envelope counts too.
        v_own := array(select a.account_id from mailrow.accounts a
                       where (p_accounts is null or a.account_id = any (p_accounts))
                         and (octet_length(a.name) > length(a.name) or strpos(lower(a.name), split_part(v_folded, ' ', 1)) > 0)
                         and mailrow.holds(array[a.name], v_phrase)
                       order by 1 limit 20);
        if cardinality(v_own) > 0 then
            v_holds := format('(%s or d.account_id = any (%L::bigint[]) and mailrow.holds(array[d.recipient], %L))', v_holds, v_own, v_phrase);
            return mailrow.node_of_sql('((' || v_words || ') | ' || mailrow.account_marks(v_own) || ')', v_holds);
        end if;
    end if;
    v_node := mailrow.node_of_sql(v_words, v_holds);
    v_node.must := mailrow.literal_words(v_folded, p_languages);
    return v_node;
end $$;
comment on function mailrow.field_node is
    'What an operator with words means, such as from: or filename:; NULL where it means nothing.';

create function mailrow.name_test(p_column text, p_value text) returns text
language sql immutable as $$
    select case when p_value like '%*' then format('starts_with(lower(%s), %L)', p_column, lower(rtrim(p_value, '*')))
                else format('lower(%s) = %L', p_column, lower(p_value)) end
$$;
comment on function mailrow.name_test is 'SQL that tests a name: Archive/* stands for all that begins so.';

create function mailrow.account_node(p_value text, p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_node  mailrow.search_node;
    v_named bigint[];
    v_test  text;
begin
    execute format('select coalesce(array_agg(s.account_id), ''{}'')
                    from (select a.account_id from mailrow.accounts a
                          where ($1 is null or a.account_id = any ($1)) and %s order by 1 limit 1001) s',
                   mailrow.name_test('a.name', p_value)) into v_named using p_accounts;
    if cardinality(v_named) > 1000 then
        perform mailrow.refuse(format('account:%s means more than a thousand accounts', p_value), 'Give more of the name.');
    end if;
    v_test := format('account_id = any (%L::bigint[])', v_named);
    v_node := mailrow.node_of_sql(case when cardinality(v_named) <= 20 then mailrow.account_marks(v_named) end, 'd.' || v_test);
    v_node.places := 'b.' || v_test;
    return v_node;
end $$;
comment on function mailrow.account_node is 'What account: means.';

create function mailrow.thread_node(p_value text, p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_node mailrow.search_node;
    v_test text;
begin
    if p_value !~ '^\d{1,18}$' then
        perform mailrow.refuse(format('thread:%s is no number of a mail', left(p_value, 100)), 'Write thread: and an id, as view mail has it.');
    end if;
    v_test := coalesce((
        select format('(m.account_id = %s and m.thread = %s)', m.account_id, m.thread)
        from mailrow.deliveries d join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
        where d.id = p_value::bigint and (p_accounts is null or d.account_id = any (p_accounts))), 'false');
    v_node := mailrow.node_of_sql(null, v_test);
    v_node.thread := v_test;
    return v_node;
end $$;
comment on function mailrow.thread_node is 'What thread: means.';

create function mailrow.fact_node(p_operator text, p_value text, p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_node mailrow.search_node;
    v_test text;
    v_time timestamptz;
    v_size bigint;
begin
    case
    when p_operator = 'account' then
        v_node := mailrow.account_node(p_value, p_accounts);
    when p_operator = 'thread' then
        v_node := mailrow.thread_node(p_value, p_accounts);
    when p_operator = 'in' then
        v_test := mailrow.name_test('b.name', p_value);
        v_node := mailrow.node_of_sql(null, format(
            'coalesce((select %s from mailrow.mailboxes b where b.account_id = d.account_id and b.mailbox_id = d.mailbox), false)', v_test));
        v_node.places := v_test;
    when p_operator = 'before' then
        v_time := mailrow.read_date(p_operator, p_value);
        v_node := mailrow.node_of_sql(null, format('d.received_at < %L', v_time));
        v_node.until := v_time;
    when p_operator = 'after' then
        v_time := mailrow.read_date(p_operator, p_value);
        v_node := mailrow.node_of_sql(null, format('d.received_at >= %L', v_time));
        v_node.since := v_time;
    when p_operator in ('larger', 'smaller') then
        v_size := mailrow.read_size(p_operator, p_value);
        v_node := mailrow.node_of_sql(
            (select '(' || string_agg(mailrow.quote_word('size:' || c), ' | ') || ')' from generate_series(0, 51) c
             where case p_operator when 'larger' then c >= mailrow.size_class(v_size) else c <= mailrow.size_class(v_size) end),
            format('m.size %s %s', case p_operator when 'larger' then '>' else '<' end, v_size));
    when p_operator = 'is' then
        v_node := mailrow.node_of_sql(null, mailrow.flag_test(lower(p_value)));
    when p_operator = 'has' and lower(p_value) in ('attachment', 'attachments') then
        v_node := mailrow.node_of_words('''has:attachment''');
    else  -- type:pdf, has:pdf
        v_node := mailrow.node_of_words(mailrow.quote_word('type:' || left(lower(p_value), 80)));
    end case;
    return v_node;
end $$;
comment on function mailrow.fact_node is
    'What the operators mean that ask for places, dates, sizes, flags and attachments.';

create function mailrow.flag_test(p_state text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_flag constant text := case p_state
        when 'read' then '\Seen' when 'seen' then '\Seen' when 'unread' then '\Seen' when 'unseen' then '\Seen'
        when 'flagged' then '\Flagged' when 'starred' then '\Flagged'
        when 'answered' then '\Answered' when 'draft' then '\Draft' end;
begin
    if v_flag is null then
        perform mailrow.refuse(format('is:%s is not known', left(p_state, 100)),
                               'Write is:unread, is:read, is:flagged, is:answered or is:draft.');
    end if;
    return case when p_state like 'un%' then 'not ' else '' end || quote_literal(v_flag) || ' = any (d.flags)';
end $$;
comment on function mailrow.flag_test is 'SQL for is:, such as is:unread.';

create function mailrow.term_node(p_term text, p_languages text[], p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_parts    constant text[] := regexp_match(p_term, '^([A-Za-z]+):(.*)$');
    v_operator constant text := lower(v_parts[1]);
    v_value    constant text := btrim(replace(v_parts[2], '"', ' '));
begin
    if v_operator in ('from', 'to', 'cc', 'subject', 'filename', 'list', 'recipient') then
        return mailrow.field_node(v_operator, v_value, p_languages, p_accounts);
    elsif v_operator in ('in', 'account', 'thread', 'before', 'after', 'larger', 'smaller', 'is', 'type', 'has') then
        return case when v_value <> '' then mailrow.fact_node(v_operator, v_value, p_accounts) end;
    end if;
    return mailrow.text_node(btrim(replace(p_term, '"', ' ')), p_term like '"%', p_languages);
end $$;
comment on function mailrow.term_node is
    'What one term means: a word, a phrase in quotes, or an operator with a value; NULL where it means nothing. What is no operator is text.';

create index accounts_by_language on mailrow.accounts (language);

create function mailrow.languages_in_use() returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive l (language) as (
        (select a.language from mailrow.accounts a order by a.language limit 1)
        union all
        select (select a.language from mailrow.accounts a where a.language > l.language order by a.language limit 1)
        from l where l.language is not null)
    select array_agg(s.language order by s.language)
    from (select l.language from l
          where exists (select from pg_ts_config c where c.oid::regconfig::text = l.language)
          union select 'simple') s
$$;
comment on function mailrow.languages_in_use is
    'The text search configurations of all accounts, and simple, which index_mail() falls back to.';

create function mailrow.query_tokens(p_query text) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_tokens text[];
begin
    if length(p_query) > 10000 then
        perform mailrow.refuse(format('a query of %s characters is too long', length(p_query)), 'At most 10000 characters are read.');
    end if;
    v_tokens := array(select t[1] from regexp_matches(translate(p_query, '“”„«»', '"""""'),
                          '-*\(|\)|[^\s()"]*"[^"]*(?:"|$)\*?|[^\s()"]+', 'g') t);
    if cardinality(v_tokens) > 500 then
        perform mailrow.refuse(format('a query of %s words is too long', cardinality(v_tokens)), 'At most 500 are read.');
    end if;
    return v_tokens;
end $$;
comment on function mailrow.query_tokens is
    'The parts of a query: words, operators with their values, phrases in quotes, parentheses. A quote that nobody closed ends with the query.';

create type mailrow.search_level as (
    met     mailrow.search_node,  -- all terms but the last
    last    mailrow.search_node,  -- the last term, or those that or has joined
    joined  boolean,              -- or stands before the next term
    negated boolean               -- so does -
);
comment on type mailrow.search_level is 'What was read of a query within one parenthesis.';

create function mailrow.level_with(p_level mailrow.search_level, p_term mailrow.search_node) returns mailrow.search_level
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_node mailrow.search_node := p_term;
begin
    if v_node.whole is not null then
        if p_level.negated then
            v_node := mailrow.node_not(v_node);
        end if;
        if p_level.joined and (p_level.last).whole is not null then
            p_level.last := mailrow.node_or(p_level.last, v_node);
        else
            p_level.met := mailrow.node_and(p_level.met, p_level.last);
            p_level.last := v_node;
        end if;
    end if;
    p_level.joined := false;
    p_level.negated := false;
    return p_level;
end $$;
comment on function mailrow.level_with is 'What was read, with one more term.';

create function mailrow.query_node(p_query text, p_accounts bigint[]) returns mailrow.search_node
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_languages constant text[] := mailrow.languages_in_use();
    v_outer     mailrow.search_level[] := '{}';
    v_level     mailrow.search_level := row(null, null, false, false);
    v_token     text;
begin
    foreach v_token in array mailrow.query_tokens(p_query) || array_fill(text ')', array[500]) loop
        if v_token like '%(' then
            v_level.negated := v_token like '-%';
            v_outer := v_outer || v_level;
            v_level := row(null, null, false, false);
        elsif v_token = ')' then
            continue when cardinality(v_outer) = 0;
            v_level := mailrow.level_with(v_outer[cardinality(v_outer)], mailrow.node_and(v_level.met, v_level.last));
            v_outer := trim_array(v_outer, 1);
        elsif lower(v_token) in ('or', '|') then
            v_level.joined := true;
        else
            v_level.negated := v_token like '-%';
            v_level := mailrow.level_with(v_level, mailrow.term_node(ltrim(v_token, '-'), v_languages, p_accounts));
        end if;
    end loop;
    return mailrow.node_and(v_level.met, v_level.last);
end $$;
comment on function mailrow.query_node is
    'What a query means: or joins its two neighbours, - negates, parentheses group, and one that nobody closed ends with the query. NULL for a query that says nothing.';

-- Finding. Words that are rare are found by the index at once. Of words that are in
-- every tenth mail nobody wants all, but the newest: they are looked for among the
-- newest deliveries first, which the index can narrow to by their ranges of ids.

create function mailrow.search_from(p_kind text, p_words text, p_conditions text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_folded constant text := 'mailrow.search_text(m.subject, m.from_name, m.from_address, m.sender_address, m.to_addresses, m.cc_addresses, '
        'm.reply_to, m.recipient_names, m.attachment_names, m.list_id, mailrow.read_pieces(m."text", m.raw, m.text_pieces))';
    v_where  constant text := case p_kind
        -- As in the definition of the index.
        when 'indexed' then format('m.language is not null and mailrow.search_words(m.language, m.account_id, m.id, m.size, m.attachment_names, %s) @@ %L::tsquery and ',
                                   v_folded, p_words)
        when 'waiting' then format('v.words @@ %L::tsquery and ', p_words)
        else '' end || p_conditions;
    v_words  constant boolean := strpos(v_where, 'v.words') > 0;
begin
    -- What is read of a message is read once, and only when the conditions ask for it.
    return case p_kind
            -- In their order, so that a limit ends it early.
            when 'waiting' then 'from (select d.account_id, d.id, d.message, d.received_at '
                'from mailrow.messages m join mailrow.deliveries d on d.account_id = m.account_id and d.message = m.id '
                'where m.language is null order by d.received_at desc, d.id desc offset 0) w '
                'join mailrow.messages m on m.account_id = w.account_id and m.id = w.message '
                'join mailrow.deliveries d on d.account_id = w.account_id and d.id = w.id'
            else 'from mailrow.messages m join mailrow.deliveries d on d.account_id = m.account_id and d.message = m.id' end
        || case when v_words or strpos(v_where, 'x.folded') > 0
                then ' cross join lateral (select ' || v_folded || ' as folded offset 0) x' else '' end
        || case when v_words
                then ' cross join lateral (select mailrow.search_words(coalesce(m.language, (select a.language from mailrow.accounts a '
                     'where a.account_id = m.account_id)), m.account_id, m.id, m.size, m.attachment_names, x.folded) as words offset 0) v' else '' end
        || ' where ' || v_where;
end $$;
comment on function mailrow.search_from is
    'From and where of a search in what the index has (indexed), in what index_mail() has yet to take up (waiting), or in all mail without the index (any).';

create function mailrow.few_places(p_accounts bigint[], p_places text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_few boolean;
begin
    if p_accounts is null and p_places is null then
        return false;
    end if;
    execute format('select count(*) <= 16 from (select from mailrow.mailboxes b where %s limit 17) s', mailrow.place_test(p_accounts, p_places)) into v_few;
    return v_few;
end $$;
comment on function mailrow.few_places is
    'Whether a search is about so few mailboxes that each is walked by itself, by deliveries_by_mailbox.';

create function mailrow.place_test(p_accounts bigint[], p_places text) returns text
language sql immutable as $$
    select concat_ws(' and ', 'true', case when p_accounts is not null then format('b.account_id = any (%L::bigint[])', p_accounts) end, p_places)
$$;
comment on function mailrow.place_test is 'SQL for the mailboxes b that a search is about.';

create function mailrow.newest_first(p_columns text, p_from text, p_limit integer, p_few boolean, p_accounts bigint[], p_places text) returns text
language sql immutable as $$
    select case when p_few then
        format('select s.* from mailrow.mailboxes b cross join lateral (select %s %s and d.account_id = b.account_id and d.mailbox = b.mailbox_id '
               'order by d.received_at desc, d.id desc limit %s) s where %s order by s.received_at desc, s.id desc limit %3$s',
               p_columns, p_from, p_limit, mailrow.place_test(p_accounts, p_places))
    else
        format('select %s %s%s order by d.received_at desc, d.id desc limit %s', p_columns, p_from,
               case when p_accounts is not null then format(' and d.account_id = any (%L::bigint[])', p_accounts) else '' end, p_limit)
    end
$$;
comment on function mailrow.newest_first is
    'A query of the newest deliveries, mailbox by mailbox where they are few.';

create type mailrow.search_window as (
    deliveries integer,      -- how many there are in it
    since      timestamptz,  -- when the oldest of them was received
    words      text          -- tsquery of the ranges of ids of their messages; NULL where these are too many
);
comment on type mailrow.search_window is 'The newest deliveries among those that a query is about.';

create function mailrow.newest_window(p_node mailrow.search_node, p_deliveries integer, p_few boolean, p_accounts bigint[]) returns mailrow.search_window
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_bitmapscan = off as $$
declare
    v_window mailrow.search_window;
    v_near   bigint[];
    v_wide   bigint[];
begin
    execute 'select count(*), min(w.received_at), array_agg(distinct w.message >> 10), array_agg(distinct w.message >> 14) from ('
        || mailrow.newest_first('d.id, d.message, d.received_at', concat_ws(' and ', 'from mailrow.deliveries d where true',
               'd.received_at >= ' || quote_literal(p_node.since), 'd.received_at < ' || quote_literal(p_node.until)),
               p_deliveries, p_few, p_accounts, p_node.places) || ') w'
        into v_window.deliveries, v_window.since, v_near, v_wide;
    v_window.words := case
        when cardinality(v_near) <= 8 then (select '(' || string_agg(mailrow.quote_word('ids:' || i), ' | ') || ')' from unnest(v_near) i)
        when cardinality(v_wide) <= 8 then (select '(' || string_agg(mailrow.quote_word('wide-ids:' || i), ' | ') || ')' from unnest(v_wide) i) end;
    return v_window;
end $$;
comment on function mailrow.newest_window is 'The window of so many newest deliveries.';

create type mailrow.search_hit as (account_id bigint, id bigint, received_at timestamptz);
comment on type mailrow.search_hit is 'A delivery that a query matches.';

create function mailrow.may_hold(p_must text[], p_text text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_text  constant text := lower(p_text collate "C");
    v_ascii constant boolean := octet_length(v_text) = length(v_text);
    v_word  text;
begin
    -- Beside ASCII only such characters as never become ASCII letters or vanish:
    -- quotes, dashes, bullets, Greek, Cyrillic.
    if v_ascii or v_text ~ '^[\u0001-\u007f\u00a0-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6\u00b7\u00bb\u00bf\u00d7\u00f7\u0391-\u03c9\u0400-\u04ff\u2010-\u2027\u2030-\u205e\u20ac\u2190-\u21ff\u2500-\u27bf]*$' then
        foreach v_word in array p_must loop
            if strpos(v_text, v_word) = 0 and (v_ascii or octet_length(v_word) = length(v_word)) then
                return false;
            end if;
        end loop;
    end if;
    return true;
end $$;
comment on function mailrow.may_hold is
    'Whether a text may hold all of some folded words: a quick look, before it is folded itself.';

create function mailrow.quick_look(p_must text[]) returns text
language sql immutable as $$
    select case when p_must is null then 'true' else format('mailrow.may_hold(%L::text[], concat_ws('' '', m.subject, m.from_name, m.from_address, m.sender_address,
        array_to_string(m.to_addresses, '' ''), array_to_string(m.cc_addresses, '' ''), array_to_string(m.reply_to, '' ''), array_to_string(m.recipient_names, '' ''),
        array_to_string(m.attachment_names, '' ''), m.list_id, mailrow.read_pieces(m."text", m.raw, m.text_pieces)))', p_must)
        || (select string_agg(format(' and strpos(x.folded, %L) > 0', w), '') from unnest(p_must) w) end
$$;
comment on function mailrow.quick_look is 'SQL that leaves out messages that cannot match, most of them before they are folded, and the others before their words are taken apart.';

create function mailrow.indexed_sql(p_words text, p_conditions text) returns text
language sql immutable as $$
    select 'select d.account_id, d.id, d.received_at ' || mailrow.search_from('indexed', p_words, p_conditions)
$$;
comment on function mailrow.indexed_sql is 'A query by words in what the index has.';

create function mailrow.waiting_sql(p_words text, p_conditions text, p_must text[], p_limit integer) returns text
language sql immutable as $$
    select 'select d.account_id, d.id, d.received_at '
        || mailrow.search_from('waiting', p_words, p_conditions || ' and ' || mailrow.quick_look(p_must))
        || coalesce(' order by w.received_at desc, w.id desc limit ' || p_limit, '')
$$;
comment on function mailrow.waiting_sql is 'A query by words in what index_mail() has yet to take up.';

create function mailrow.find_newest(p_node mailrow.search_node, p_words text, p_conditions text, p_accounts bigint[], p_few boolean, p_limit integer, p_waiting mailrow.search_hit[])
returns mailrow.search_hit[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_total      constant bigint := (select c.reltuples from pg_class c where c.oid = 'mailrow.deliveries'::regclass);
    v_deliveries bigint := greatest(400, 4 * p_limit);
    v_next       bigint;
    v_found      integer;
    v_window     mailrow.search_window;
    v_hits       mailrow.search_hit[];
begin
    while v_deliveries <= 100000 loop
        v_window := mailrow.newest_window(p_node, v_deliveries::integer, p_few, p_accounts);
        exit when v_window.words is null or v_window.deliveries < v_deliveries;
        execute format('select array_agg(row(s.account_id, s.id, s.received_at)::mailrow.search_hit) from ('
                           'select * from unnest($1) where received_at >= %L union all %s order by 3 desc, 2 desc limit %s) s', v_window.since,
                       mailrow.indexed_sql(v_window.words || ' & ' || p_words, format('d.received_at >= %L and ', v_window.since) || p_conditions), p_limit)
            into v_hits using p_waiting;
        if cardinality(v_hits) >= p_limit then
            return v_hits;
        end if;
        -- As many as should do, if the older mail is like the newer; unless it takes
        -- less to have the index find all that match, of which a condition may leave
        -- little. Of one or two hits nothing can be told.
        v_found := coalesce(cardinality(v_hits), 0);
        v_next := v_deliveries * greatest(5, case when v_found >= 3 then ceil(2.0 * p_limit / v_found)::integer end);
        exit when v_found = 0 and v_deliveries >= 2000
            or (v_found >= 3 or v_deliveries >= 10000)
               and v_next > case when p_node.rest is null then 20 else 200 end * v_found * v_total / v_deliveries;
        v_deliveries := v_next;
    end loop;
    return null;
end $$;
comment on function mailrow.find_newest is
    'The newest deliveries that match, found among the newest of all; NULL when there are not enough of them.';

create function mailrow.find_without_words(p_node mailrow.search_node, p_mine text, p_accounts bigint[], p_few boolean, p_limit integer)
returns setof mailrow.search_hit
-- A bitmap would be of all mail, in no order.
language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp set enable_bitmapscan = off as $$
begin
    return query execute case when p_limit is null or p_node.thread is not null
        then 'select d.account_id, d.id, d.received_at ' || mailrow.search_from('any', null, concat_ws(' and ', p_mine, p_node.whole))
             || coalesce(' order by 3 desc, 2 desc limit ' || p_limit, '')
        -- Whose the mailboxes are is asked of each, and of all deliveries where they are many.
        else mailrow.newest_first('d.account_id, d.id, d.received_at', mailrow.search_from('any', null, coalesce(p_node.whole, 'true')),
                                  p_limit, p_few, p_accounts, p_node.places) end;
end $$;
comment on function mailrow.find_without_words is
    'The deliveries that match a query that has no words for the index: in one thread, or from the newest on.';

create function mailrow.find(p_node mailrow.search_node, p_accounts bigint[], p_limit integer) returns setof mailrow.search_hit
language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set work_mem = '64MB' set random_page_cost = 1.1 set max_parallel_workers_per_gather = 0 as $$
declare
    v_mine  constant text := case when p_accounts is null then 'true'
                                  else format('d.account_id = any (%L::bigint[]) and m.account_id = any (%1$L::bigint[])', p_accounts) end;
    v_few   constant boolean := mailrow.few_places(p_accounts, p_node.places);
    v_words text := p_node.words;
    v_rest  constant text := concat_ws(' and ', v_mine, p_node.rest);
    v_waiting mailrow.search_hit[];
    v_hits    mailrow.search_hit[];
begin
    if p_node.thread is not null or v_words is null then
        return query select * from mailrow.find_without_words(p_node, v_mine, p_accounts, v_few, p_limit);
        return;
    end if;
    if cardinality(p_accounts) <= 20 then
        v_words := mailrow.account_marks(p_accounts) || ' & ' || v_words;
    elsif not p_node.wanted then
        -- Only what must not be there: the index needs something to begin with.
        v_words := (select '(' || string_agg(mailrow.quote_word('language:' || l), ' | ') || ') & '
                    from unnest(mailrow.languages_in_use()) l) || v_words;
    end if;
    if p_limit is null then
        return query execute mailrow.indexed_sql(v_words, v_rest) || ' union all ' || mailrow.waiting_sql(v_words, v_rest, p_node.must, null);
        return;
    end if;
    execute 'select array_agg(row(s.account_id, s.id, s.received_at)::mailrow.search_hit) from ('
            || mailrow.waiting_sql(v_words, v_rest, p_node.must, p_limit) || ') s' into v_waiting;
    v_hits := mailrow.find_newest(p_node, v_words, v_rest, p_accounts, v_few, p_limit, v_waiting);
    if v_hits is not null then
        return query select * from unnest(v_hits);
    else
        return query execute format('select * from unnest($1) union all %s order by 3 desc, 2 desc limit %s',
                                    mailrow.indexed_sql(v_words, v_rest), p_limit) using v_waiting;
    end if;
end $$;
comment on function mailrow.find is
    'The deliveries that a query matches in these accounts: all, or the newest so many.';

-- Showing.

create function mailrow.letters_pattern(p_folded text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select replace(replace(replace(string_agg(coalesce(c.class, l.letter), '' order by l.n),
               '[sśŝşšș][sśŝşšș]', '(?:ss|ß)'), '[aàáâãäåāăąǎ][eèéêëēĕėęě]', '(?:[aàáâãäåāăąǎ][eèéêëēĕėęě]|æ)'),
               '[oòóôõöøōŏőǒ][eèéêëēĕėęě]', '(?:[oòóôõöøōŏőǒ][eèéêëēĕėęě]|œ)')
    from string_to_table(p_folded, null) with ordinality as l (letter, n)
    left join (select left(k, 1) as letter, '[' || k || ']' as class
               from unnest('{aàáâãäåāăąǎ,cçćĉċč,dďđð,eèéêëēĕėęě,gĝğġģ,hĥħ,iìíîïĩīĭįıǐ,jĵ,kķ,lĺļľł,nñńņňŋ,oòóôõöøōŏőǒ,rŕŗř,sśŝşšș,tţťŧț,uùúûüũūŭůűųǔ,wŵ,yýÿŷ,zźżž,αά,εέ,ηή,ιίϊΐ,οό,υύϋΰ,ωώ,σς,её}'::text[]) k) c
           using (letter)
$$;
comment on function mailrow.letters_pattern is 'A regular expression of a folded word as it may be written, with accents.';

create function mailrow.word_pattern(p_word text, p_prefix boolean, p_stems boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_word text := p_word;
    v_stem text;
begin
    if p_stems and not p_prefix then
        -- What the word and its stems have in common.
        for v_stem in select unnest(tsvector_to_array(to_tsvector(l::regconfig, p_word))) from unnest(mailrow.languages_in_use()) l loop
            while not starts_with(v_stem, v_word) loop
                v_word := left(v_word, -1);
            end loop;
        end loop;
        v_word := case when length(v_word) < 3 then p_word else v_word end;
    end if;
    -- Between characters of scripts without blanks no word begins or ends.
    return case when v_word ~ '^[\u0e00-\u30ff\u3400-\u9fff]' then '' else '\m' end
        || mailrow.letters_pattern(v_word)
        || case when v_word ~ '[\u0e00-\u30ff\u3400-\u9fff]$' then '' when p_prefix or v_word <> p_word then '\w*' else '\M' end;
end $$;
comment on function mailrow.word_pattern is 'A regular expression of one folded word, or with stems also of its other forms.';

create function mailrow.hit_pattern(p_query text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_token    text;
    v_operator text;
    v_folded   text;
    v_found    text[] := '{}';
begin
    foreach v_token in array mailrow.query_tokens(p_query) loop
        v_operator := lower(substring(v_token from '^([A-Za-z]+):'));
        continue when v_token like '-%' or lower(v_token) in ('or', '|')
            or v_operator in ('from', 'to', 'cc', 'filename', 'list', 'recipient', 'in', 'account', 'thread',
                              'before', 'after', 'larger', 'smaller', 'is', 'type', 'has');
        v_folded := mailrow.fold(case v_operator when 'subject' then substr(v_token, 9) else v_token end);
        continue when v_folded = '' or length(v_folded) > 200;
        v_found := v_found || (
            select string_agg(mailrow.word_pattern(w, v_token like '%*', strpos(v_token || v_folded, '"') + strpos(v_folded, ' ') = 0), '\W*' order by n)
            from string_to_table(v_folded, ' ') with ordinality as t (w, n));
        exit when cardinality(v_found) >= 30;
    end loop;
    return '(' || nullif(array_to_string(v_found, '|'), '') || ')';
end $$;
comment on function mailrow.hit_pattern is
    'A regular expression of the words and phrases of a query, as they may be written in a text; NULL without any.';

create function mailrow.excerpt(p_text text, p_pattern text, p_mark_start text, p_mark_end text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_text constant text := left(p_text, 200000);
    v_hit  constant text := (regexp_match(v_text, p_pattern, 'i'))[1];
    v_from integer := greatest(coalesce(strpos(v_text, v_hit), 1) - 60, 1);
    v_cut  text := substr(v_text, v_from, 200);
begin
    -- Whole words, as long as they are words.
    if v_from > 1 then
        v_cut := '… ' || regexp_replace(v_cut, '^\S{0,30}\s+', '');
    end if;
    if length(v_cut) > 160 then
        v_cut := regexp_replace(left(v_cut, 160), '\s+\S{0,30}$', '') || ' …';
    end if;
    v_cut := btrim(regexp_replace(v_cut, '[\s\u0001-\u001f\u007f-\u00a0\u2028\u2029]+', ' ', 'g'));
    return coalesce(regexp_replace(v_cut, p_pattern, replace(p_mark_start, '\', '\\') || '\1' || replace(p_mark_end, '\', '\\'), 'gi'), v_cut, '');
end $$;
comment on function mailrow.excerpt is
    'Some 160 characters around the first hit in a text, in one line, hits marked; the beginning of the text where it has none.';

create function mailrow.search_rank(p_words text[], p_subject text, p_from text, p_text text, p_received_at timestamptz) returns real
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_subject constant text := ' ' || mailrow.fold(p_subject) || ' ';
    v_from    constant text := ' ' || mailrow.fold(p_from) || ' ';
    v_text    text := left(p_text, 20000);
    v_rank    double precision := 0;
    v_word    text;
begin
    v_text := case when octet_length(v_text) = length(v_text) then lower(v_text collate "C") else mailrow.fold_letters(v_text) end;
    foreach v_word in array p_words loop
        v_rank := v_rank
            + case when strpos(v_subject, ' ' || v_word) > 0 then 2 else 0 end
            + case when strpos(v_from, ' ' || v_word) > 0 then 1 else 0 end
            -- The first hits count most, and those in a short text more.
            + coalesce(ln(1 + (length(v_text) - length(replace(v_text, v_word, '')))::float / length(v_word)) / (1 + ln(1 + length(v_text) / 1000.0)), 0);
    end loop;
    return v_rank / greatest(cardinality(p_words), 1)
        + 0.5 / (1 + greatest(extract(epoch from now() - p_received_at), 0) / 86400 / 90);
end $$;
comment on function mailrow.search_rank is
    'How well a mail fits the words: 2 for a word in the subject, 1 for one in From, up to about 2 for how often it is in the text against the length of that, averaged over the words; and up to 0.5 for mail of these months.';

create function mailrow.search_with(
    p_keys uuid[], p_query text, p_max_rows integer, p_ranked boolean, p_mark_start text, p_mark_end text
) returns table (
    id bigint, account text, mailbox text, received_at timestamptz, from_name text, from_address text, subject text,
    attachments integer, thread bigint, rank real, excerpt text
) language plpgsql stable security definer rows 100 set search_path = pg_catalog, pg_temp
set jit = off set enable_seqscan = off set random_page_cost = 1.1 set max_parallel_workers_per_gather = 0 as $$
declare
    -- So many of the newest are ranked: to rank all mail that has a common word, all of it would have to be read.
    c_ranked   constant integer := 500;
    v_accounts constant bigint[] := mailrow.readable_accounts(p_keys);
    v_node     constant mailrow.search_node := mailrow.query_node(p_query, v_accounts);
    v_pattern  constant text := mailrow.hit_pattern(p_query);
    v_words    constant text[] := case when p_ranked then mailrow.rank_words(p_query) end;
begin
    if p_max_rows < 0 then
        perform mailrow.refuse(format('%s rows cannot be found', p_max_rows), 'max_rows is 0 or more; NULL for all.');
    end if;
    return query
        with found as materialized (
            select f.account_id, f.id, f.received_at,
                   case when p_ranked then mailrow.search_rank(v_words, m.subject, concat_ws(' ', m.from_name, m.from_address),
                                                              mailrow.read_pieces(m."text", m.raw, m.text_pieces), f.received_at) end as rank
            from mailrow.find(v_node, v_accounts, case when p_ranked then greatest(c_ranked, p_max_rows) else p_max_rows end) f
            join mailrow.deliveries d on d.account_id = f.account_id and d.id = f.id
            join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
            order by rank desc nulls last, f.received_at desc, f.id desc
            limit p_max_rows)
        select f.id, a.name, b.name, f.received_at, m.from_name, m.from_address, m.subject,
               coalesce(cardinality(m.attachment_names) / 2, 0), m.thread, f.rank,
               mailrow.excerpt(mailrow.read_pieces(m."text", m.raw, m.text_pieces), v_pattern, p_mark_start, p_mark_end)
        from found f
        join mailrow.deliveries d on d.account_id = f.account_id and d.id = f.id
        join mailrow.messages m on m.account_id = d.account_id and m.id = d.message
        left join mailrow.mailboxes b on b.account_id = d.account_id and b.mailbox_id = d.mailbox
        left join mailrow.accounts a on a.account_id = d.account_id
        order by f.rank desc nulls last, f.received_at desc, f.id desc;
end $$;
comment on function mailrow.search_with is
    'search() in the accounts that keys of table search_keys open. It runs as the owner, whom row-level security does not filter.';

create function mailrow.rank_words(p_query text) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(distinct w), '{}')
    from unnest(mailrow.query_tokens(p_query)) t,
         string_to_table(mailrow.fold(regexp_replace(t, '^(subject|from):', '', 'i')), ' ') w
    where t not like '-%' and lower(t) not in ('or', '|') and w <> ''
      and t !~* '^(to|cc|filename|list|recipient|in|account|thread|before|after|larger|smaller|is|type|has):'
$$;
comment on function mailrow.rank_words is 'The words of a query that a rank is about.';

create function mailrow.search(
    query text, max_rows integer default null, ranked boolean default false, mark_start text default '«', mark_end text default '»'
) returns table (
    id bigint, account text, mailbox text, received_at timestamptz, from_name text, from_address text, subject text,
    attachments integer, thread bigint, rank real, excerpt text
) language plpgsql stable rows 100 set search_path = pg_catalog, pg_temp as $$
begin
    return query select * from mailrow.search_with(
        array(select k.key from mailrow.search_keys k), $1, $2, $3, $4, $5);
end $$;
comment on function mailrow.search is
    'The mail that a query matches, one row per arrival, the newest first, or ranked the best among the newest 500 matches first. Words, "phrases", -not, or, ( ), word*, from: to: cc: subject: filename: has:attachment type: before: after: larger: smaller: in: thread: account: list: recipient: is:.';
