// node-postgres, as services use it: calls with the native types of JavaScript, and traffic.
// node-postgres sends every value as text of an unknown type. The suite reads the printed lines.
'use strict'

const { randomUUID } = require('node:crypto')
const { setTimeout: sleep } = require('node:timers/promises')
const { Client, Pool } = require('pg')

const isDirect = process.env.ROUTE === 'direct'
const tell = (...words) => console.log(words.join('\t'))
const now = () => process.hrtime.bigint()
const isOn = 'SELECT is_feature_enabled_for_user($1) AS answer'

// A named statement is prepared on the server. Behind a pooler of transactions none may be.
const statement = (name, text, values) =>
  isDirect ? { name, text, values } : { text, values }

// Lost are connections without an SQLSTATE, those that the server or the pooler ends, and
// cancelled statements.
const isLost = (error) =>
  !/^[0-9A-Z]{5}$/.test(error.code ?? '') || /^(57|08)/.test(error.code)

class Session {
  constructor () {
    this.losses = 0
  }

  async open () {
    this.client = new Client()
    // Without a listener, the loss of an idle connection ends the process.
    this.client.on('error', () => {})
    await this.client.connect()
    return this
  }

  async run (text, ...values) {
    await this.client.query({ text, values })
  }

  async answer (text, ...values) {
    const { rows } = await this.client.query(statement(text.slice(0, 60), text, values))
    return rows[0].answer
  }

  // Works; after a loss, connects and completes until no connection is lost.
  async lasting (work, complete) {
    try {
      return await work()
    } catch (error) {
      if (error.code === 'ERR_ASSERTION' || !isLost(error)) throw error
    }
    for (;;) {
      this.losses += 1
      try {
        await this.client.end().catch(() => {})
        await this.open()
        return await complete()
      } catch (error) {
        if (!isLost(error)) throw error
        await sleep(10)
      }
    }
  }

  async close () {
    await this.client.end().catch(() => {})
    if (this.losses > 0) tell('lost', this.losses)
  }
}

async function flip (session, flag, until) {
  let value = true
  const flips = []
  for (let round = 0; Date.now() < until; round++) {
    const way = round % 4
    const wanted = !value
    let sent = now()
    const change = async () => {
      if (way === 0) {
        await session.run('SELECT update_feature_flag($1, $2)', flag, wanted)
      } else if (way === 1) {
        await session.run('UPDATE feature_flags SET is_enabled = $2 WHERE flag_key = $1', flag,
          wanted)
      } else {
        await session.run('BEGIN')
        await session.run('SELECT update_feature_flag($1, $2)', flag, wanted)
        if (await session.answer(isOn, flag) !== wanted) {
          throw Object.assign(new Error('a transaction sees its own flip'), { code: 'XX000' })
        }
        sent = now()
        await session.run(way === 2 ? 'COMMIT' : 'ROLLBACK')
      }
      return way !== 3
    }
    const find = async () => await session.answer(
      'SELECT is_enabled AS answer FROM feature_flags WHERE flag_key = $1', flag) === wanted
    if (await session.lasting(change, find)) {
      flips.push(['flip', sent, now(), wanted ? 't' : 'f'])
      value = wanted
    }
    await sleep(Math.random() * 4)
  }
  flips.forEach((line) => tell(...line))
}

async function read (session, flags, until, inTransaction) {
  const reads = []
  const several = async () => {
    if (inTransaction) await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ')
    for (let n = 0; n < 10; n++) {
      const flag = flags[Math.floor(Math.random() * flags.length)]
      const began = now()
      const value = await session.answer(isOn, flag)
      reads.push(['read', flag, began, now(), value ? 't' : 'f'])
    }
    if (inTransaction) await session.run('COMMIT')
  }
  while (Date.now() < until) await session.lasting(several, async () => {})
  reads.forEach((line) => tell(...line))
}

async function record (session, name, until) {
  const user = randomUUID()
  for (let number = 0; Date.now() < until; number++) {
    const call = `${name}-${number}`
    const payload = { call, status_code: 200 }
    const write = async () => {
      if (number % 3 === 0) {
        await session.run('SELECT log_system_event($1, $2, $3, $4, $5)', 'edge_function_call',
          user, payload, 12.5, name)
      } else if (number % 3 === 1) {
        await session.run(
          'SELECT crewsnow_ops.record_edge_call($1, $2, 200, p_payload => $3)', name, 12.5,
          payload)
      } else {
        await session.run('BEGIN')
        await session.run(
          'INSERT INTO event_log (event_type, function_name, execution_time_ms, payload)' +
          " VALUES ('edge_function_call', $1, $2, $3)", name, 12.5, payload)
        await session.run('COMMIT')
      }
    }
    await session.lasting(write, async () => {
      const isStored = await session.answer(
        "SELECT EXISTS (SELECT FROM event_log WHERE payload ->> 'call' = $1) AS answer", call)
      if (!isStored) await write()
    })
    tell('event', call)
    await sleep(2)
  }
}

async function handleWebhooks (session, name, until) {
  for (let number = 0; Date.now() < until; number++) {
    const event = `evt-${name}-${number}`
    const status = number % 10 === 0 ? 'failed' : 'processed'
    const handle = async () => {
      if (number % 2 === 0) {
        const outcome = "SELECT crewsnow_ops.record_stripe_webhook($1, 'invoice.paid', $2)"
        await session.run(outcome, event, null)
        await session.run(outcome, event, status === 'processed')
      } else {
        await session.run(
          'INSERT INTO processed_events (event_id, event_type, status, received_at)' +
          " VALUES ($1, 'invoice.paid', 'received', $2) ON CONFLICT (event_id) DO UPDATE" +
          ' SET attempts = processed_events.attempts + 1', event, new Date())
        await session.run(
          'UPDATE processed_events SET status = $2, processed_at = clock_timestamp()' +
          ' WHERE event_id = $1', event, status)
      }
    }
    await session.lasting(handle, handle)
    tell('webhook', event, status)
    await sleep(4)
  }
}

async function traffic (flag, seconds) {
  const flags = process.env.FLAGS.split(',')
  const sessions = await Promise.all(Array.from({ length: 5 }, () => new Session().open()))
  console.log('ready')
  for await (const _ of process.stdin) break
  const until = Date.now() + seconds * 1000
  await Promise.all([
    flip(sessions[0], flag, until),
    read(sessions[1], flags, until, false),
    read(sessions[2], flags, until, true),
    record(sessions[3], flag, until),
    handleWebhooks(sessions[4], flag, until)
  ])
  await Promise.all(sessions.map((session) => session.close()))
}

async function outcome (work) {
  try {
    await work
    return 'ok'
  } catch (error) {
    return `${error.code} ${error.message}`
  }
}

const log = 'SELECT log_system_event($1, $2, $3, $4, $5)'
const recordCall = 'SELECT crewsnow_ops.record_edge_call($1, $2, $3)'

async function events (service) {
  const event = async (label, expected, text, ...values) =>
    tell('call', label, expected, await outcome(service.query({ text, values })))
  const durations = {
    null: [null, ''], undefined: [undefined, ''], number: [12.5, 12.5], integer: [12, 12],
    bigint: [12n, 12], string: ['12.5', 12.5]
  }
  for (const [name, [duration, expected]] of Object.entries(durations)) {
    await event(`log ${name}`, expected, log, `log ${name}`, randomUUID(), { n: 1 }, duration, 'f')
    await event(`record ${name}`, expected, recordCall, `record ${name}`, duration, 200)
  }
  for (const kind of ['float8', 'bigint', 'numeric', 'integer', 'real']) {
    await event(`cast ${kind}`, 12, `SELECT log_system_event($1, $2, $3, $4::${kind}, $5)`,
      `cast ${kind}`, randomUUID(), JSON.stringify({ n: 1 }), 12, 'f')
  }
  await event('status', 12.5, recordCall, 'status', 12.5, 503n)
  await event('status bigint', 12.5, 'SELECT crewsnow_ops.record_edge_call($1, $2, $3::bigint)',
    'status bigint', 12.5, 503)
  await event('log type', '', 'SELECT log_system_event($1)', 'log type')
  const insert = 'INSERT INTO event_log (event_type, payload, execution_time_ms, created_at)' +
    ' VALUES ($1, $2, $3, $4)'
  await event('insert', 12.5, insert, 'insert', { n: 1 }, 12.5, new Date())
  await event('insert returning', 12.5, `${insert} RETURNING id`, 'insert returning', { n: 1 },
    12.5, new Date())
  await service.query('BEGIN')
  for (const label of ['named 1', 'named 2']) {
    const values = [label, randomUUID(), { n: 1 }, 12.5, 'f']
    tell('call', label, 12.5, await outcome(service.query(statement('log', log, values))))
  }
  await service.query('COMMIT')
}

async function webhooks (service) {
  const webhook = async (event, status, text, ...values) =>
    tell('webhook', event, status,
      await outcome(service.query({ text, values: [event, 'invoice.paid', ...values] })))
  const recordWebhook = 'SELECT crewsnow_ops.record_stripe_webhook($1, $2, $3, $4, $5)'
  await webhook('null', 'received', recordWebhook, null, null, { object: 'event' })
  await webhook('true', 'processed', recordWebhook, true, null, { object: 'event' })
  await webhook('false', 'failed', recordWebhook, false, 'timeout', null)
  const upsert =
    'INSERT INTO processed_events (event_id, event_type, status, received_at, payload)' +
    ' VALUES ($1, $2, $3, $4, $5) ON CONFLICT (event_id) DO UPDATE' +
    ' SET status = excluded.status, attempts = processed_events.attempts + 1'
  await webhook('upsert', 'failed', upsert, 'received', new Date(), { object: 'event' })
  await webhook('upsert', 'failed', upsert, 'failed', new Date(), { object: 'event' })
}

async function flags (operator, flag) {
  const user = randomUUID()
  const change = async (label, expected, text, ...values) => {
    const work = async () => {
      await operator.query({ text, values: [flag, ...values] })
      for (const id of [user, user.toUpperCase()]) {
        const answer = 'SELECT is_feature_enabled_for_user($1, $2) AS answer'
        const { rows } = await operator.query({ text: answer, values: [flag, id] })
        if (rows[0].answer !== expected) throw new Error(`${label}: wrong for ${id}`)
      }
    }
    tell('flag', label, '', await outcome(work()))
  }
  await change('positional', true, 'SELECT update_feature_flag($1, $2, $3, $4)', true, 100, 'ci')
  await change('off', false, 'SELECT update_feature_flag($1, $2, $3)', false, undefined)
  await change('named', true, 'SELECT update_feature_flag($1, p_is_enabled => $2)', true)
  const update = (column) => `UPDATE feature_flags SET ${column} = $2 WHERE flag_key = $1`
  await change('percentage', false, update('rollout_percentage'), 0)
  await change('users', true, update('target_user_ids'), [user])
  await change('reviewed', true, update('last_checked_at'), new Date())
  await change('update', false, update('is_enabled'), false)

  // A Date has milliseconds, updated_at has microseconds.
  const get = async () => (await operator.query({
    text: 'SELECT * FROM feature_flags WHERE flag_key = $1', values: [flag]
  })).rows[0]
  const save = async (row) => await operator.query({
    text: 'UPDATE feature_flags SET description = $2, is_enabled = $3, updated_at = $4' +
      ' WHERE id = $1',
    values: [row.id, row.description, row.is_enabled, row.updated_at]
  })
  const saveAgain = async () => await save({ ...await get(), description: 'a better text' })
  tell('flag', 'fresh save', '', await outcome(saveAgain()))
  const saveStale = async () => {
    const row = { ...await get(), is_enabled: true }
    await sleep(5)
    await operator.query({ text: update('rollout_percentage'), values: [flag, 50] })
    await save(row)
  }
  const refused = await outcome(saveStale())
  const isRefused = refused.startsWith('40001') && !(await get()).is_enabled
  tell('flag', 'stale save', '', isRefused ? 'ok' : `not refused: ${refused}`)
}

async function calls (flag) {
  const pool = new Pool({ user: 'service', max: 1 })
  const service = await pool.connect()
  await events(service)
  await webhooks(service)
  service.release()
  await pool.end()
  const operator = new Client()
  await operator.connect()
  await flags(operator, flag)
  await operator.end()
}

const [command, flag, seconds] = process.argv.slice(2)
const work = command === 'calls' ? calls(flag) : traffic(flag, Number(seconds))
work.catch((error) => {
  console.error(error)
  process.exit(1)
})
